"""Turns errors into problem documents (RFC 9457): one sentence each, with no internals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from pipeline.messages import sanitize
from schemas.errors import (
    BadImageError,
    IndexBusyError,
    ManifestError,
    ModelError,
    NotAddedError,
    NotIndexedError,
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    ServiceError,
    StoreAccessError,
    StoreError,
    UsageError,
    VectorIndexError,
)

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 5

_STATUS: Mapping[type[ObjseekError], HTTPStatus] = {
    BadImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotIndexedError: HTTPStatus.NOT_FOUND,
    NotAddedError: HTTPStatus.CONFLICT,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ObjectGoneError: HTTPStatus.GONE,
    ObjectChangedError: HTTPStatus.CONFLICT,
    IndexBusyError: HTTPStatus.CONFLICT,
    StoreAccessError: HTTPStatus.BAD_GATEWAY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    ManifestError: HTTPStatus.SERVICE_UNAVAILABLE,
    VectorIndexError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class ProblemDetail(BaseModel):
    """A problem document of RFC 9457. `type` names the kind of error."""

    type: str = Field(examples=["urn:objseek:problem:not-found"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[str] = []


class ProblemError(ServiceError):
    """A request that the service refuses: the status, sentence and headers of the response."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self, instance: str | None = None) -> Response:
        return problem_response(self.status, self.detail, instance, headers=self.headers)


def problem_response(
    status: HTTPStatus,
    detail: str,
    instance: str | None = None,
    errors: list[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document as a response. Secrets and unprintable characters are removed from it."""
    body = problem_detail(status, detail, instance, errors)
    # A client that took it for a page would find no markup.
    text = body.model_dump_json(exclude_none=True).replace("<", "\\u003c")
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(text, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def problem_detail(
    status: HTTPStatus, detail: str, instance: str | None = None, errors: list[str] | None = None
) -> ProblemDetail:
    """The document itself."""
    return ProblemDetail(
        type=f"urn:objseek:problem:{status.phrase.lower().replace(' ', '-')}",
        title=status.phrase,
        status=status,
        detail=sanitize(detail),
        instance=None if instance is None else sanitize(instance),
        errors=errors or [],
    )


def status_of(error: ObjseekError) -> HTTPStatus:
    """The status for an error, by the nearest of its classes that has one."""
    if isinstance(error, ProblemError):
        return error.status
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def add_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""

    @app.exception_handler(ProblemError)
    async def _answer_problem(request: Request, error: ProblemError) -> Response:
        return error.response(request.url.path)

    @app.exception_handler(ObjseekError)
    async def _answer_objseek_error(request: Request, error: ObjseekError) -> Response:
        return problem_response(status_of(error), str(error), request.url.path)

    @app.exception_handler(HTTPException)
    async def _answer_http_error(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        sentence = {
            HTTPStatus.NOT_FOUND: "there is nothing at this address",
            HTTPStatus.METHOD_NOT_ALLOWED: "this address does not accept this method",
        }.get(status, str(error.detail))
        return problem_response(status, sentence, request.url.path, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
        sentences = [_validation_sentence(entry) for entry in error.errors()]
        detail = sentences[0] if sentences else "the request is not valid"
        return problem_response(
            HTTPStatus.UNPROCESSABLE_ENTITY, detail, request.url.path, sentences[:_MAX_ERRORS]
        )


def internal_error(path: str, method: str, error: Exception) -> Response:
    """The response to a bug, of which only the log has the details."""
    _log.error("%s %s failed", method, path, exc_info=error)
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "an internal error occurred; the service's log has the details",
        path,
    )


def _validation_sentence(error: Mapping[str, object]) -> str:
    """Where and what is wrong, without the value itself, which may hold anything."""
    location = error.get("loc", ())
    parts = location if isinstance(location, tuple) else ()
    where = ".".join(str(part)[:64] for part in parts[1:])
    message = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    return f"{where}: {message}"[:500] if where else message[:500]
