"""Defines what routes depend on: the service, the caller, and the errors they may answer with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from pipeline.service.access import Caller, check_scope
from pipeline.service.api_keys import Scope
from pipeline.service.background_jobs import BackgroundJobs
from pipeline.service.clip_maker import ClipMaker
from pipeline.service.generation_follower import GenerationFollower
from pipeline.service.image_cache import ImageCache
from pipeline.service.image_segmenter import ImageSegmenter
from pipeline.service.map_maker import MapMaker
from pipeline.service.metrics import Metrics
from pipeline.service.object_finder import ObjectFinder
from pipeline.service.problems import MEDIA_TYPE, ProblemDetail, ProblemError
from pipeline.service.search_queue import SearchQueue
from pipeline.service.uploads import Uploads
from pipeline.service.variety_cache import VarietyCache
from pipeline.settings import Settings
from schemas.search import SearchPage

if TYPE_CHECKING:
    from pipeline.observing.traces import SearchTraces


@dataclass(slots=True)
class Service:
    """The parts of a running service.

    `jobs` is None if it only reads, `traces` if none are made.
    """

    settings: Settings
    queue: SearchQueue
    follower: GenerationFollower
    uploads: Uploads
    finder: ObjectFinder
    segmenting: ImageSegmenter
    images: ImageCache
    clips: ClipMaker
    maps: MapMaker
    varieties: VarietyCache
    metrics: Metrics
    jobs: BackgroundJobs | None
    needs_key: bool
    traces: SearchTraces | None = None
    started_at_s: float = field(default_factory=time.monotonic)
    is_ready: bool = False

    def note_search(self, page: SearchPage) -> None:
        """Count, and trace, a search that has been answered."""
        self.metrics.count_search(page.seconds, page.relevance)
        if self.traces is not None:
            self.traces.note_search(page.seconds, page.relevance)


def _get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _get_ingester(request: Request) -> Caller:
    caller: Caller = request.state.caller
    check_scope(caller, Scope.INGEST)
    return caller


def require_writable(service: Service) -> None:
    """Raise ProblemError where the service reads a snapshot."""
    if service.jobs is None:
        raise ProblemError(
            HTTPStatus.CONFLICT, "this service reads a snapshot, and cannot change objects"
        )


ServiceDep = Annotated[Service, Depends(_get_service)]
IngesterDep = Annotated[Caller, Depends(_get_ingester)]

_REASONS = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read.",
    HTTPStatus.UNAUTHORIZED: "A key is missing, unknown or expired.",
    HTTPStatus.FORBIDDEN: "A foreign origin, or a key of another scope.",
    HTTPStatus.NOT_FOUND: "Nothing has this id.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time.",
    HTTPStatus.CONFLICT: "Something has changed, or a job is at work.",
    HTTPStatus.GONE: "The store no longer has the image.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of an unsupported type.",
    HTTPStatus.MISDIRECTED_REQUEST: "The Host header is unknown.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request cannot be met.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests in the last minute.",
    HTTPStatus.BAD_GATEWAY: "The object store refuses.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Busy, or something that it needs is unavailable.",
    HTTPStatus.GATEWAY_TIMEOUT: "The request took too long.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    int(status): {
        "description": reason,
        "content": {MEDIA_TYPE: {"schema": ProblemDetail.model_json_schema()}},
    }
    for status, reason in _REASONS.items()
}
"""The problem documents that any route may answer with, for the OpenAPI document."""
