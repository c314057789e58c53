"""Builds requests to a Qdrant server: queries by words, by examples, fused, varied; labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from schemas.points import IndexQuery, Point, PointLabels, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME, Float32Matrix
from workers.indexes.points import NO_WORDS, RRF_K, labels_payload, require_vector


def to_sparse(vector: SparseVector) -> models.SparseVector:
    """The server's sparse vector."""
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def to_vectors(point: Point, *, with_words: bool) -> dict[str, Any]:
    """The vectors that a point is written with.

    A collection that is older than words has no place for them. Raises ValueError for a point
    without a vector.
    """
    vectors: dict[str, Any] = {VECTOR_NAME: require_vector(point).tolist()}
    if with_words:
        vectors[WORDS_NAME] = to_sparse(point.words or NO_WORDS)
    if point.sparse is not None:
        vectors[SPARSE_NAME] = to_sparse(point.sparse)
    return vectors


def ranking_request(
    query: IndexQuery,
    where: models.Filter | None,
    pool: int,
    *,
    with_words: bool,
    params: models.SearchParams | None = None,
) -> dict[str, Any]:
    """The first `pool` points as `query` ranks them; its words count `with_words` alone.

    `params` is how vectors are compared.
    """
    nearest = query.require_vector().tolist()
    request: dict[str, Any] = {"query": nearest, "using": VECTOR_NAME}
    if query.liked is not None:
        disliked = [] if query.disliked is None else query.disliked.tolist()
        examples = models.RecommendInput(
            positive=query.liked.tolist(),
            negative=disliked,
            strategy=models.RecommendStrategy.BEST_SCORE,
        )
        request["query"] = models.RecommendQuery(recommend=examples)
    if query.words is not None and with_words:
        sparse = models.Prefetch(
            query=to_sparse(query.words), using=WORDS_NAME, limit=pool, filter=where
        )
        both = [models.Prefetch(**request, params=params, limit=pool, filter=where), sparse]
        request = {"query": models.RrfQuery(rrf=models.Rrf(k=RRF_K)), "prefetch": both}
        params = None
    if query.diversity:
        before = models.Prefetch(**request, params=params, limit=pool, filter=where)
        mmr = models.Mmr(diversity=query.diversity, candidates_limit=pool)
        varied = models.NearestQuery(nearest=nearest, mmr=mmr)
        request = {"query": varied, "using": VECTOR_NAME, "prefetch": before}
        params = None
    if params is not None:
        request["search_params"] = params
    return request | {"query_filter": where, "limit": pool}


def neighbour_requests(
    vectors: Float32Matrix,
    where: models.Filter | None,
    limit: int,
    threshold: float,
    params: models.SearchParams | None,
) -> list[models.QueryRequest]:
    """The `limit` nearest points to each row, above `threshold`, without payloads."""
    return [
        models.QueryRequest(
            query=vector.tolist(),
            using=VECTOR_NAME,
            filter=where,
            limit=limit,
            score_threshold=threshold,
            params=params,
            with_payload=False,
        )
        for vector in vectors
    ]


def label_operations(
    items: Sequence[PointLabels], labelled_by: str, *, with_words: bool
) -> list[models.UpdateOperation]:
    """Set labels of points, and their words."""
    operations: list[models.UpdateOperation] = []
    vectors: list[models.PointVectors] = []
    for item in items:
        payload = models.SetPayload(
            payload=labels_payload(item, labelled_by), points=[item.point_id]
        )
        operations.append(models.SetPayloadOperation(set_payload=payload))
        if with_words:
            words = {WORDS_NAME: to_sparse(item.words)}
            vectors.append(models.PointVectors(id=item.point_id, vector={**words}))
    if vectors:
        update = models.UpdateVectors(points=vectors)
        operations.append(models.UpdateVectorsOperation(update_vectors=update))
    return operations
