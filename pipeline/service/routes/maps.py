"""Routes for the map of the objects: made on request, kept, and given as bytes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from pipeline.service.dependencies import ERRORS, ServiceDep
from pipeline.service.problems import ProblemError
from schemas.api import MapState
from schemas.object_map import pack_map

router = APIRouter(prefix="/v1/map", tags=["map"], responses=ERRORS)
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The map: a header in JSON, then coordinates, ids and labels.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", response_class=Response, responses=_BYTES)
async def get_map(request: Request, service: ServiceDep) -> Response:
    """The map that is kept, made of the index as it is or was.

    Eight bytes `OBJMAP1\\n`, the length of a header in four, little-endian like all that follows,
    the header as JSON (`count`, `labels`, `objects`, `version`, `made_at`), then for each object x
    and y as float32 within -1 and 1, then the 16 bytes of each id, then the place of each label in
    `labels` as uint16, 65535 for none.
    """
    made = await service.queue.draw(service.maps.find)
    if made is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no map was made yet: POST /v1/map makes one")
    headers = {"ETag": f'"{made.version}-{made.made_at.timestamp()}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(pack_map(made), media_type="application/octet-stream", headers=headers)


@router.post("", status_code=HTTPStatus.ACCEPTED)
async def start_map(service: ServiceDep) -> MapState:
    """Make a map of at most 100,000 objects, unless there is one of the index as it is now."""
    return await service.queue.draw(service.maps.start)


@router.get("/state")
async def get_map_state(service: ServiceDep) -> MapState:
    """Whether there is a map, and how far the one is that is being made."""
    return await service.queue.draw(service.maps.state)
