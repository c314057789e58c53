"""Sends pictures: drawn when asked for, and kept by whoever asked if they never change."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from pipeline.service.image_cache import Drawn
from pipeline.service.problems import MEDIA_TYPE, ProblemDetail
from pipeline.service.search_queue import SearchQueue

CACHE_FOR_A_DAY = {"Cache-Control": "private, max-age=86400, immutable"}
"""An id means one version of an image under one pipeline, so its picture never changes."""


def _describe(media_type: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The picture.", "content": {media_type: binary}}}


JPEG, PNG, WEBP = map(_describe, ("image/jpeg", "image/png", "image/webp"))
MP4: dict[int | str, dict[str, Any]] = {
    **_describe("video/mp4"),
    206: {**_describe("video/mp4")[200], "description": "The part of the file."},
    416: {
        "description": "The file has no such part.",
        "content": {MEDIA_TYPE: {"schema": ProblemDetail.model_json_schema()}},
    },
}
"""The answers of routes that send pictures, for the OpenAPI document."""


async def send_picture(
    request: Request, queue: SearchQueue, draw: Callable[[], Drawn], tag: str, media_type: str
) -> Response:
    """The picture that `draw` makes, unless the caller has that of this `tag`.

    One that is not final is not to be kept.
    """
    headers = {**CACHE_FOR_A_DAY, "ETag": f'"{tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    drawn = await queue.draw(draw)
    if not drawn.is_final:
        headers = {"Cache-Control": "no-store"}
    return Response(drawn.data, media_type=media_type, headers=headers)
