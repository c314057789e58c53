"""Routes that add an object to an indexed image by hand, and remove it."""

from __future__ import annotations

import uuid
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from pipeline.jobs.added_object import (
    ATTEMPTS,
    Addition,
    ObjectToAdd,
    find_size,
    prepare_addition,
    remove_object,
    write_addition,
    written_meanwhile,
)
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import (
    ERRORS,
    IngesterDep,
    Service,
    ServiceDep,
    require_writable,
)
from schemas.api import AddedAnswer, AddRequest
from schemas.errors import UsageError
from schemas.points import Point

router = APIRouter(prefix="/v1", tags=["objects"], responses=ERRORS)
_TIMEOUTS = 4  # of a search: the models may have to be loaded
_EXISTING: dict[int | str, dict[str, Any]] = {
    200: {"model": AddedAnswer, "description": "The object was added before, and is as it was."}
}


@router.post("/objects", status_code=HTTPStatus.CREATED, responses=_EXISTING)
async def add_object(
    request: AddRequest, service: ServiceDep, caller: IngesterDep, response: Response
) -> AddedAnswer:
    """Add an object to an indexed image: it is embedded, labelled and searched as all others are.

    It stays until its image changes or goes. The same mask once more is the same object: the
    answer is 200 then, and the object as it was. Needs a key of the scope ingest.
    """
    require_writable(service)
    rle = request.segmentation.to_rle()
    wanted = ObjectToAdd(request.uri, rle, request.label)
    for _ in range(ATTEMPTS):
        searcher = service.queue.searcher
        await service.queue.run(lambda now: _check_size(service, now, wanted.uri))
        prepare = partial(prepare_addition, wanted, searcher)
        limit_s = _TIMEOUTS * service.settings.serve.request_timeout_s
        addition = await service.queue.find(prepare, limit_s)
        point = await service.queue.run(partial(_write, addition))
        if point is not None:
            if addition.point is not None:
                response.status_code = HTTPStatus.OK
            return AddedAnswer(object_id=point.id, payload=point.parse_payload())
    raise written_meanwhile(wanted)


def _write(addition: Addition, searcher: Searcher) -> Point | None:
    point = write_addition(addition, searcher)
    if point is not None:
        searcher.refresh()
    return point


@router.delete("/objects/{object_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_object(
    object_id: Annotated[uuid.UUID, Path()], service: ServiceDep, caller: IngesterDep
) -> None:
    """Remove an object that was added by hand; what an ingest has found stays (409).

    Needs a key of the scope ingest.
    """
    require_writable(service)

    def remove(searcher: Searcher) -> None:
        remove_object(object_id, searcher)
        searcher.refresh()

    await service.queue.run(remove)


def _check_size(service: Service, searcher: Searcher, uri: str) -> None:
    """Raise UsageError for an image that is larger than uploads may be."""
    height, width = find_size(searcher.index, uri)
    limit = service.settings.serve.max_upload_pixels
    if height * width > limit:
        raise UsageError(
            f"expected an image of at most {limit:,} pixels, as uploads are, it has "
            f"{height * width:,} ({uri})"
        )
