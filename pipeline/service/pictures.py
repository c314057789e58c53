"""Sends pictures that never change: drawn when asked for, kept by whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from pipeline.service.search_queue import SearchQueue

# An id means one version of an image under one pipeline, so its picture never changes.
_CACHE_FOR_A_DAY = {"Cache-Control": "private, max-age=86400, immutable"}


def _describe(media_type: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The picture.", "content": {media_type: binary}}}


JPEG, PNG = _describe("image/jpeg"), _describe("image/png")
"""The answers of routes that send pictures, for the OpenAPI document."""


async def send_picture(
    request: Request, queue: SearchQueue, draw: Callable[[], bytes], tag: str, media_type: str
) -> Response:
    """The picture that `draw` makes, unless the caller has that of this `tag`."""
    headers = {**_CACHE_FOR_A_DAY, "ETag": f'"{tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    data = await queue.draw(draw)
    return Response(data, media_type=media_type, headers=headers)
