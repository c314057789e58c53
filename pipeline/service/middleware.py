"""What every request goes through: who asks, how much, how long, what browsers may do with it.

Plain ASGI, so that a request is refused before anything of it is understood.
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
from pipeline.service.problems import ProblemError, bug

_MOST_NESTED = 32
_UPLOADS = "/v1/uploads"
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'{inline}; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
"""Told of each answer: the request's scope, the status, and seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds of a request's body."""

    body_bytes: int
    upload_bytes: int
    body_timeout_s: float


class Guard:
    """Middleware around the whole service."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, observe: Observe) -> None:
        self._app, self._access, self._limits, self._observe = app, access, limits, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, begun = time.perf_counter(), 500, False
        headers = Headers(scope=scope)
        origin = self._access.cors_origin(headers)

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                _add_headers(MutableHeaders(scope=message), scope["path"], origin)
            await send(message)

        try:
            try:
                self._access.check_place(headers)
                if origin is not None and scope["method"] == "OPTIONS":
                    await _preflight(scope, receive, answer)
                    return
                address = (scope.get("client") or ("unknown",))[0]
                caller = self._access.caller(headers, address, scope["path"])
                self._access.check_rate(caller)
                scope.setdefault("state", {})["caller"] = caller
                if scope["method"] in _METHODS_WITH_BODY:
                    receive = await self._whole_body(scope, headers, receive)
            except ProblemError as problem:
                await problem.response(scope["path"])(scope, receive, answer)
                return
            try:
                await self._app(scope, receive, answer)
            except Exception as exc:
                if begun:
                    raise
                await bug(scope["path"], scope["method"], exc)(scope, receive, answer)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    async def _whole_body(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """The body, read within the limits, to be given to the service at once."""
        upload = scope["path"] == _UPLOADS
        most = self._limits.upload_bytes if upload else self._limits.body_bytes
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected a body that is not packed"
            )
        declared = headers.get("content-length")
        if declared is not None and declared.isdecimal() and int(declared) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                body = await _read(receive, most)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", {"Connection": "close"}
            ) from None
        if not upload and body:
            check_json(body)
        return _replay(body, receive)


async def _read(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(HTTPStatus.BAD_REQUEST, "the body ended before its end")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def check_json(body: bytes) -> None:
    """Raise ProblemError for JSON that can be parsed, and not be used: too deep, or no text.

    Python's parser gives up with RecursionError, and takes NaN and halves of surrogate pairs.
    """
    if _depth(body) > _MOST_NESTED:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"expected JSON nested at most {_MOST_NESTED} deep"
        )
    try:
        value = json.loads(body, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeError, ValueError) as exc:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "expected JSON in UTF-8, with finite numbers"
        ) from exc


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _depth(body: bytes) -> int:
    depth = deepest = 0
    quoted = escaped = False
    for byte in body:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"expected a body of at most {most:,} bytes",
        {"Connection": "close"},
    )


def _add_headers(headers: MutableHeaders, path: str, origin: str | None) -> None:
    # The documentation's own widgets style themselves.
    inline = " 'unsafe-inline'" if path.startswith("/docs") else ""
    headers["Content-Security-Policy"] = _CSP.format(inline=inline)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
    headers.add_vary_header("Origin")
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"


async def _preflight(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
