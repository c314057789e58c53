"""Answers requests as Qdrant does, from the engine of its client in memory."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from qdrant_client import QdrantClient, models

NEWEST = "1.20.0"
_MOST_POINTS = 100_000


@dataclass(frozen=True)
class Request:
    """`operation` is the method and what follows the collection in the path, if that names one."""

    collection: str
    operation: str
    body: Any


class RefusedError(Exception):
    """What a server answers with status 400."""

    status = 400


class ConflictError(RefusedError):
    """What is there already."""

    status = 409


def as_version(request: Request, version: str) -> Request:
    """The request as a server of this version understands it. Raises RefusedError, LookupError.

    1.15 and older ignore `update_filter`; 1.17 and older add no vector to a collection; 1.18 and
    older refuse a match by prefix.
    """
    major, minor = map(int, re.findall(r"\d+", version or NEWEST)[:2])
    body, known = request.body, (major, minor)
    if known < (1, 19) and '"prefix"' in json.dumps(body):
        if request.operation == "PUT /index":
            raise RefusedError("Format error in JSON body: unknown field `prefix`")
        raise RefusedError(
            "Format error in JSON body: data did not match any variant of untagged enum Condition"
        )
    if known < (1, 18) and request.operation.startswith("PUT /vectors/"):
        raise LookupError("there is nothing at this path")
    if known < (1, 16) and isinstance(body, dict) and "update_filter" in body:
        return replace(request, body={**body, "update_filter": None})
    return request


def result_of(engine: QdrantClient, request: Request) -> Any:
    """What Qdrant answers, as a model of its client. Raises LookupError for what is not served."""
    name, body = request.collection, request.body
    aliases = {entry.alias_name: entry.collection_name for entry in engine.get_aliases().aliases}
    name = aliases.get(name, name)
    match request.operation:
        case "GET /aliases":
            return engine.get_aliases()
        case "GET /collections":
            return engine.get_collections()
        case "POST /collections/aliases":
            changes = models.ChangeAliasesOperation.model_validate(body)
            return engine.update_collection_aliases(changes.actions)
        case "DELETE /":
            return engine.delete_collection(name)
    if not name:
        raise LookupError("there is nothing at this path")
    if request.operation == "GET /exists":
        return models.CollectionExistence(exists=engine.collection_exists(name))
    if request.operation == "PUT /":
        if engine.collection_exists(name):
            raise ConflictError(f"Wrong input: Collection `{name}` already exists!")
        made = models.CreateCollection.model_validate(body)
        return engine.create_collection(
            name, vectors_config=made.vectors, sparse_vectors_config=made.sparse_vectors
        )
    if not engine.collection_exists(name):
        raise LookupError(f"Collection `{name}` doesn't exist!")
    match request.operation:
        case "GET /":
            return engine.get_collection(name)
        case "PATCH /":
            return True
        case "PUT /vectors/sparse":
            added = models.SparseVectorNameConfig.model_validate(body)
            return engine.create_vector_name(name, "sparse", added)
        case operation if operation.startswith("PUT /vectors/"):
            dense = models.DenseVectorNameConfig.model_validate(body)
            return engine.create_vector_name(name, operation.rpartition("/")[2], dense)
        case "PUT /index":
            return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
        case "PUT /points":
            given = models.PointsList.model_validate(body)
            return engine.upsert(name, given.points, update_filter=given.update_filter)
        case "POST /points/delete":
            return engine.delete(name, selector_of(body))
        case "POST /points":
            wanted = models.PointRequest.model_validate(body)
            return engine.retrieve(name, wanted.ids, wanted.with_payload, wanted.with_vector)
        case "POST /points/scroll":
            page = models.ScrollRequest.model_validate(body)
            points, following = engine.scroll(
                name, page.filter, limit=page.limit, offset=page.offset,
                with_payload=page.with_payload, with_vectors=page.with_vector,
            )  # fmt: skip
            return models.ScrollResult(points=points, next_page_offset=following)
        case "POST /points/query":
            query = models.QueryRequest.model_validate(body)
            return engine.query_points(
                name, query.query, using=query.using, prefetch=query.prefetch,
                query_filter=query.filter, limit=query.limit, with_payload=query.with_payload,
                score_threshold=query.score_threshold, with_vectors=query.with_vector,
            )  # fmt: skip
        case "POST /points/query/batch":
            searches = models.QueryRequestBatch.model_validate(body).searches
            return engine.query_batch_points(name, searches)
        case "POST /points/batch":
            operations = models.UpdateOperations.model_validate(body).operations
            return engine.batch_update_points(name, operations)
        case "POST /points/count":
            return engine.count(name, models.CountRequest.model_validate(body).filter)
        case "POST /facet":
            facet = models.FacetRequest.model_validate(body)
            return engine.facet(name, facet.key, facet_filter=facet.filter, limit=facet.limit)
    raise LookupError(f"{request.operation} is not served here")


def selector_of(body: Any) -> models.PointsSelector:
    kind = models.PointIdsList if "points" in body else models.FilterSelector
    return kind.model_validate(body)


def half_of(engine: QdrantClient, request: Request) -> Request:
    """The same write, of half of its points."""
    if request.operation == "PUT /points":
        points = request.body["points"]
        return replace(request, body={**request.body, "points": points[: len(points) // 2]})
    selector = selector_of(request.body)
    if isinstance(selector, models.PointIdsList):
        ids = selector.points
    else:
        found, _ = engine.scroll(request.collection, selector.filter, limit=_MOST_POINTS)
        ids = [point.id for point in found]
    return replace(request, body={"points": ids[: len(ids) // 2]})
