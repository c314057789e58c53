"""What the routes work with, and what each of them may answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request

from pipeline.service.access import Caller, check_scope
from pipeline.service.api_keys import Scope
from pipeline.service.background_jobs import Ingests
from pipeline.service.image_cache import Pictures
from pipeline.service.metrics import Metrics
from pipeline.service.problems import MEDIA_TYPE, ProblemDetail
from pipeline.service.search_queue import Desk
from pipeline.service.uploads import Uploads
from pipeline.settings import Settings


@dataclass(slots=True)
class Parts:
    """One service's parts. `ingests` is None for a service that only reads."""

    settings: Settings
    desk: Desk
    uploads: Uploads
    pictures: Pictures
    metrics: Metrics
    ingests: Ingests | None
    needs_key: bool
    started: float = field(default_factory=time.monotonic)
    ready: bool = False


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _ingester(request: Request) -> Caller:
    caller: Caller = request.state.caller
    check_scope(caller, Scope.INGEST)
    return caller


PartsOf = Annotated[Parts, Depends(_parts)]
IngesterOf = Annotated[Caller, Depends(_ingester)]

_REASONS = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read.",
    HTTPStatus.UNAUTHORIZED: "A key is missing, unknown or expired.",
    HTTPStatus.FORBIDDEN: "Another origin, or a key of another scope.",
    HTTPStatus.NOT_FOUND: "Nothing has this id.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.CONFLICT: "Something has changed, or is at work.",
    HTTPStatus.GONE: "The store has the image no more.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of another type.",
    HTTPStatus.MISDIRECTED_REQUEST: "This service has another name.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What is asked for cannot be.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests in the last minute.",
    HTTPStatus.BAD_GATEWAY: "The object store refuses.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Busy, or what it needs is away.",
    HTTPStatus.GATEWAY_TIMEOUT: "It took longer than a request may.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    int(status): {
        "description": reason,
        "content": {MEDIA_TYPE: {"schema": ProblemDetail.model_json_schema()}},
    }
    for status, reason in _REASONS.items()
}
"""The problem documents that any route may answer with, for the OpenAPI document."""
