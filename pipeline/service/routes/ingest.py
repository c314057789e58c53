"""Ingests through the service, which has the index: start one, watch it, end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from pipeline.service.background_jobs import Ingests
from pipeline.service.dependencies import ERRORS, IngesterOf, Parts, PartsOf
from pipeline.service.problems import ProblemError
from schemas.api import IngestRequest, IngestState, ReembedRequest

router = APIRouter(prefix="/v1/ingest", tags=["ingest"], responses=ERRORS)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}
}


@router.get("")
async def ingest_state(parts: PartsOf) -> IngestState:
    """How far the ingest is that runs, or what became of the last one."""
    return IngestState(state="none") if parts.ingests is None else parts.ingests.state()


@router.post("", status_code=HTTPStatus.ACCEPTED)
async def start_ingest(request: IngestRequest, parts: PartsOf, caller: IngesterOf) -> IngestState:
    """Ingest sources into this index. Needs a key of the scope ingest."""
    return _ingests(parts).start(request)


@router.post("/reembed", status_code=HTTPStatus.ACCEPTED)
async def start_reembed(request: ReembedRequest, parts: PartsOf, caller: IngesterOf) -> IngestState:
    """Embed all stored masks with another embedder, and switch over to it at the end.

    It is watched and ended as an ingest is. Needs a key of the scope ingest.
    """
    return _ingests(parts).start_reembed(request)


@router.delete("")
async def cancel_ingest(parts: PartsOf, caller: IngesterOf) -> IngestState:
    """End the ingest; what it has finished is kept. Needs a key of the scope ingest."""
    return _ingests(parts).cancel()


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def ingest_events(parts: PartsOf) -> StreamingResponse:
    """The state of ingests as server-sent events: one whenever it has changed."""
    ingests = _ingests(parts)

    async def stream() -> AsyncIterator[str]:
        async for state in ingests.events():
            yield ": still here\n\n" if state is None else f"data: {state.model_dump_json()}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


def _ingests(parts: Parts) -> Ingests:
    if parts.ingests is None:
        raise ProblemError(
            HTTPStatus.CONFLICT, "this service reads a snapshot, and ingests nothing"
        )
    return parts.ingests
