"""Searching: one query, a batch, uploads to search with, counts to narrow by."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from pydantic import BaseModel

from pipeline.search.facets import compute_facets
from pipeline.search.filter_syntax import parse_conditions
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import ERRORS, Parts, PartsOf
from pipeline.service.problems import ProblemError, status_of
from schemas.api import (
    BatchAnswer,
    BatchError,
    BatchRequest,
    FacetsAnswer,
    SearchAnswer,
    SearchRequest,
    UploadAnswer,
)
from schemas.errors import ObjseekError
from schemas.payload import Kind
from schemas.search import MAX_CONDITIONS, TextExample

router = APIRouter(prefix="/v1", tags=["search"], responses=ERRORS)
_BATCH_TIMEOUTS = 4
_FILTER_CHARS = 2000


@router.post("/search", response_model=SearchAnswer)
async def search(query: SearchRequest, parts: PartsOf) -> Response:
    """Objects that are like all that is wanted, best first."""
    page = await parts.desk.ask(lambda searcher: searcher.search(query))
    parts.metrics.searched(page.seconds, page.relevance)
    return _json(SearchAnswer.of(page))


@router.post("/search/batch", response_model=BatchAnswer)
async def search_batch(batch: BatchRequest, parts: PartsOf) -> Response:
    """Up to 256 queries: an answer or an error for each, in their order."""

    def answer(searcher: Searcher) -> list[SearchAnswer | BatchError]:
        texts = [
            one.text
            for query in batch.queries
            for one in (*query.wanted, *query.negative)
            if isinstance(one, TextExample) and one.text.strip()
        ]
        if searcher.info.points:
            searcher.remember(texts)
        return [_one(searcher, query, parts) for query in batch.queries]

    timeout_s = _BATCH_TIMEOUTS * parts.settings.serve.request_timeout_s
    return _json(BatchAnswer(results=tuple(await parts.desk.ask(answer, timeout_s))))


def _json(answer: BaseModel) -> Response:
    # It is valid already; to have it validated once more takes a millisecond for ten hits.
    return Response(answer.model_dump_json(), media_type="application/json")


def _one(searcher: Searcher, query: SearchRequest, parts: Parts) -> SearchAnswer | BatchError:
    try:
        page = searcher.search(query)
    except ProblemError as exc:
        return BatchError(status=exc.status, detail=exc.detail)
    except ObjseekError as exc:
        return BatchError(status=status_of(exc), detail=str(exc))
    parts.metrics.searched(page.seconds, page.relevance)
    return SearchAnswer.of(page)


@router.get("/facets")
async def count_facets(
    parts: PartsOf,
    filter: Annotated[
        list[Annotated[str, Query(max_length=_FILTER_CHARS)]] | None,
        Query(
            max_length=MAX_CONDITIONS,
            description="Conditions such as `labels=dog` or `area_frac>0.05`; all have to hold.",
        ),
    ] = None,
    kind: Annotated[Kind | None, Query()] = "object",
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> FacetsAnswer:
    """How many points there are by label, bucket and size."""
    conditions = parse_conditions(filter or ())
    return await parts.desk.ask(lambda searcher: compute_facets(searcher, conditions, kind, limit))


@router.post(
    "/uploads",
    status_code=HTTPStatus.CREATED,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(request: Request, parts: PartsOf, after: BackgroundTasks) -> UploadAnswer:
    """Give an image to search with; it is kept in memory for half an hour at most."""
    data = await request.body()
    if not data:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "expected an image, got no bytes")
    kept = await parts.desk.draw(lambda: parts.uploads.add(data))
    # Whoever uploads looks at the image first, and need not wait for the models then.
    after.add_task(parts.desk.ask, _load_models)
    height, width = kept.pixels.shape[:2]
    return UploadAnswer(upload_id=kept.identity, width=width, height=height)


def _load_models(searcher: Searcher) -> None:
    if searcher.info.points:
        with suppress(ObjseekError):  # the search itself tells
            searcher.models.images()
            searcher.models.segmenter()
