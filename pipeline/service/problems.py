"""Errors as problem documents (RFC 9457): one sentence each, and nothing of what went on inside."""

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
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreError,
    UsageError,
    VectorIndexError,
)

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_SHOWN = 5

_STATUS: Mapping[type[ObjseekError], HTTPStatus] = {
    BadImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
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
    """What went wrong, as RFC 9457 has it. `type` names the kind of error."""

    type: str = Field(examples=["urn:objseek:problem:not-found"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[str] = []


class ProblemError(Exception):
    """An answer that is an error: status, sentence, and headers."""

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
    """A problem document. Secrets and what is not printable are taken out of the sentence."""
    body = detail_of(status, detail, instance, errors)
    # Whatever looks at it as if it were a page finds no markup.
    text = body.model_dump_json(exclude_none=True).replace("<", "\\u003c")
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(text, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def detail_of(
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
    """The status of what went wrong: the user's mistake, the store's, or ours."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def install(app: FastAPI) -> None:
    """Have `app` answer every error as a problem document."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        return error.response(request.url.path)

    @app.exception_handler(ObjseekError)
    async def _ours(request: Request, error: ObjseekError) -> Response:
        return problem_response(status_of(error), str(error), request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        sentence = {
            HTTPStatus.NOT_FOUND: "there is nothing at this address",
            HTTPStatus.METHOD_NOT_ALLOWED: "this address takes no such method",
        }.get(status, str(error.detail))
        return problem_response(status, sentence, request.url.path, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        sentences = [_sentence(one) for one in error.errors()]
        detail = sentences[0] if sentences else "the request is not valid"
        return problem_response(
            HTTPStatus.UNPROCESSABLE_ENTITY, detail, request.url.path, sentences[:_SHOWN]
        )


def bug(path: str, method: str, error: Exception) -> Response:
    """The answer to what should not have happened; what it was stands in the log alone."""
    _log.error("%s %s failed", method, path, exc_info=error)
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "something went wrong here; the service's log has the details",
        path,
    )


def _sentence(error: Mapping[str, object]) -> str:
    """Where and what, but not what was given: it may be anything."""
    location = error.get("loc", ())
    parts = location if isinstance(location, tuple) else ()
    where = ".".join(str(part)[:64] for part in parts[1:])
    message = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    return f"{where}: {message}"[:500] if where else message[:500]
