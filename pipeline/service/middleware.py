"""Guards every request: access, body limits, security headers.

Plain ASGI, so that a request is refused before any of its content is parsed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.service.access import Access
from pipeline.service.problems import ProblemError, internal_error
from pipeline.service.search_queue import ending_problem

_MAX_NESTING = 32
_UPLOADS = "/v1/uploads"
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'{inline}; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Observe = Callable[[Mapping[str, Any], int, float], None]
"""Called after each response with the request's scope, the status, and seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of a request's body, and on the time it takes to arrive."""

    body_bytes: int
    upload_bytes: int
    body_timeout_s: float


class Guard:
    """The middleware around the whole service."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        limits: Limits,
        observe: Observe,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_ending`: whether the service is being stopped."""
        self._app, self._access, self._limits, self._observe = app, access, limits, observe
        self._is_ending = is_ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, has_begun = time.perf_counter(), 500, False
        headers = Headers(scope=scope)
        origin = self._access.cors_origin(headers)

        async def send_guarded(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                _add_headers(MutableHeaders(scope=message), scope["path"], origin)
            await send(message)

        try:
            self._access.check_origin(headers)
            if origin is not None and scope["method"] == "OPTIONS":
                await _answer_preflight(send_guarded)
                return
            receive = await self._admit(scope, headers, receive)
            await self._app(scope, receive, send_guarded)
        except asyncio.CancelledError:
            # So the server ends those who are still at it; it would print a traceback of each.
            if not self._is_ending():
                raise
            if not has_begun:
                await ending_problem().response(scope["path"])(scope, receive, send_guarded)
        except Exception as exc:
            if has_begun:
                raise
            if isinstance(exc, ProblemError):
                response = exc.response(scope["path"])
            else:
                response = internal_error(scope["path"], scope["method"], exc)
            await response(scope, receive, send_guarded)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Authenticate the caller, and read the body. Returns what the service receives instead."""
        address = (scope.get("client") or ("unknown",))[0]
        caller = self._access.authenticate(headers, address, scope["path"])
        self._access.check_rate(caller)
        scope.setdefault("state", {})["caller"] = caller
        if scope["method"] not in _METHODS_WITH_BODY:
            return receive
        return _replay(await self._read_body(scope, headers, receive), receive)

    async def _read_body(self, scope: Scope, headers: Headers, receive: Receive) -> bytes:
        """The whole body, read within the limits."""
        is_upload = scope["path"] == _UPLOADS
        max_bytes = self._limits.upload_bytes if is_upload else self._limits.body_bytes
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected a body without Content-Encoding"
            )
        declared = headers.get("content-length")
        if declared is not None and declared.isdecimal() and int(declared) > max_bytes:
            raise _too_large(max_bytes)
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                body = await _collect(receive, max_bytes)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body did not arrive in time",
                {"Connection": "close"},
            ) from None
        if not is_upload and body:
            check_json(body)
        return body


async def _collect(receive: Receive, max_bytes: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(HTTPStatus.BAD_REQUEST, "the body ended too early")
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receive `body` in a single message, and then whatever `receive` does."""
    is_sent = False

    async def receive_body() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body


def check_json(body: bytes) -> None:
    """Raise ProblemError for a body that is no JSON, or JSON that is too deep or no valid text.

    Python's parser accepts NaN and halves of surrogate pairs, which nothing here can handle.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        if not _is_nested_within(value, _MAX_NESTING):
            raise RecursionError
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"expected JSON nested at most {_MAX_NESTING} deep"
        ) from None
    except (UnicodeError, ValueError) as exc:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "expected JSON in UTF-8, with finite numbers"
        ) from exc


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _is_nested_within(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    children = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_nested_within(child, levels - 1) for child in children)


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"expected a body of at most {max_bytes:,} bytes",
        {"Connection": "close"},
    )


def _add_headers(headers: MutableHeaders, path: str, origin: str | None) -> None:
    # The widgets of the API documentation set styles inline.
    inline = " 'unsafe-inline'" if path.startswith("/docs") else ""
    headers["Content-Security-Policy"] = _CSP.format(inline=inline)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
    headers.add_vary_header("Origin")
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"


async def _answer_preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
