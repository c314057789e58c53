"""Routes for searching: a query, a batch of queries, facets, a variety to look round in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from pipeline.search.facets import compute_facets
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from pipeline.service.problems import status_of
from schemas.api import (
    BatchAnswer,
    BatchError,
    BatchRequest,
    FacetsAnswer,
    SearchAnswer,
    SearchRequest,
)
from schemas.browsing import VarietyAnswer
from schemas.errors import ObjseekError
from schemas.payload import Kind
from schemas.search import MAX_CONDITIONS, TextExample, UploadExample

router = APIRouter(prefix="/v1", tags=["search"], responses=ERRORS)
_BATCH_TIMEOUTS = 4
_FILTER_CHARS = 2000
Filters = Annotated[
    list[Annotated[str, Query(max_length=_FILTER_CHARS)]] | None,
    Query(
        max_length=MAX_CONDITIONS,
        description="Conditions such as `labels=dog` or `area_frac>0.05`; all have to hold.",
    ),
]


@router.post("/search", response_model=SearchAnswer)
async def search(query: SearchRequest, service: ServiceDep) -> Response:
    """Find the objects most like everything that is wanted, best first."""
    await _wait_for_uploads(service, [query])
    page = await service.queue.run(lambda searcher: searcher.search(query))
    service.note_search(page)
    return _json_response(SearchAnswer.from_page(page))


@router.post("/search/batch", response_model=BatchAnswer)
async def search_batch(batch: BatchRequest, service: ServiceDep) -> Response:
    """Answer up to 256 queries: with hits or an error for each, in their order."""

    def answer(searcher: Searcher) -> list[SearchAnswer | BatchError]:
        texts = [
            example.text
            for query in batch.queries
            for example in (*query.wanted, *query.negative)
            if isinstance(example, TextExample) and example.text.strip()
        ]
        if searcher.info.points:
            searcher.remember(texts)
        return [_answer_query(searcher, query, service) for query in batch.queries]

    await _wait_for_uploads(service, batch.queries)
    timeout_s = _BATCH_TIMEOUTS * service.settings.serve.request_timeout_s
    return _json_response(BatchAnswer(results=tuple(await service.queue.run(answer, timeout_s))))


async def _wait_for_uploads(service: Service, queries: Sequence[SearchRequest]) -> None:
    """Wait for the objects of uploads where they are searched with. Raises ProblemError."""
    for query in queries:
        for example in (*query.positive, *query.negative):
            if isinstance(example, UploadExample) and example.needs_objects:
                await service.finder.wait(example.upload_id)


def _json_response(answer: BaseModel) -> Response:
    # It is valid already: FastAPI would take a millisecond for ten hits to validate it once more.
    return Response(answer.model_dump_json(), media_type="application/json")


def _answer_query(
    searcher: Searcher, query: SearchRequest, service: Service
) -> SearchAnswer | BatchError:
    try:
        page = searcher.search(query)
    except ObjseekError as exc:
        return BatchError(status=status_of(exc), detail=str(exc))
    service.note_search(page)
    return SearchAnswer.from_page(page)


@router.get("/facets")
async def count_facets(
    service: ServiceDep,
    filter: Filters = None,
    kind: Annotated[Kind | None, Query()] = "object",
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> FacetsAnswer:
    """Count points by label, bucket and size."""
    conditions = parse_conditions(filter or ())
    return await service.queue.run(
        lambda searcher: compute_facets(searcher, conditions, kind, limit)
    )


@router.get("/variety")
async def choose_variety(
    service: ServiceDep,
    filter: Filters = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 48,
    turn: Annotated[int, Query(ge=0, le=1000, description="Another one chooses others.")] = 0,
) -> VarietyAnswer:
    """Objects unlike each other, to look round in an index: of a sample taken at random."""
    conditions = parse_conditions(filter or ())
    objects = await service.queue.run(
        lambda searcher: service.varieties.choose(searcher, limit, turn, conditions)
    )
    return VarietyAnswer(objects=objects)
