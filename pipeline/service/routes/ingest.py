"""Routes that start, watch and end ingests in the service's index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from sse_starlette import EventSourceResponse

from pipeline.service.background_jobs import BackgroundJobs
from pipeline.service.dependencies import ERRORS, IngesterDep, Service, ServiceDep
from pipeline.service.problems import ProblemError
from schemas.ingest_api import IngestRequest, IngestState, ReembedRequest

router = APIRouter(prefix="/v1/ingest", tags=["ingest"], responses=ERRORS)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}
}


@router.get("")
async def get_ingest_state(service: ServiceDep) -> IngestState:
    """The progress of the ingest that runs, or the outcome of the last one."""
    return IngestState(state="none") if service.jobs is None else service.jobs.state()


@router.post("", status_code=HTTPStatus.ACCEPTED)
async def start_ingest(
    request: IngestRequest, service: ServiceDep, caller: IngesterDep
) -> IngestState:
    """Ingest sources into this index. Needs a key of the scope ingest."""
    return _jobs(service).start_ingest(request)


@router.post("/reembed", status_code=HTTPStatus.ACCEPTED)
async def start_reembed(
    request: ReembedRequest, service: ServiceDep, caller: IngesterDep
) -> IngestState:
    """Embed all stored masks with another embedder, and switch over to it at the end.

    It is watched and ended like an ingest. Needs a key of the scope ingest.
    """
    return _jobs(service).start_reembed(request)


@router.delete("")
async def cancel_ingest(service: ServiceDep, caller: IngesterDep) -> IngestState:
    """End the ingest; what it has finished is kept. Needs a key of the scope ingest."""
    return _jobs(service).cancel()


@router.get("/events", response_class=EventSourceResponse, responses=_STREAM)
async def stream_ingest_events(service: ServiceDep) -> EventSourceResponse:
    """The state of ingests as server-sent events, one whenever it has changed."""
    states = _jobs(service).events.listen()

    async def encode() -> AsyncIterator[dict[str, str]]:
        async for state in states:
            yield {"data": state.model_dump_json()}

    return EventSourceResponse(encode(), sep="\n")


def _jobs(service: Service) -> BackgroundJobs:
    if service.jobs is None:
        raise ProblemError(HTTPStatus.CONFLICT, "this service reads a snapshot, and cannot ingest")
    return service.jobs
