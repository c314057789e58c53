"""Routes for uploads: images to search with, what is found in them, and pictures of them."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from pipeline.service.image_cache import Drawn, preview_jpeg
from pipeline.service.pictures import JPEG, send_picture
from pipeline.service.problems import ProblemError
from pipeline.service.uploads import Upload
from schemas.api import FoundAnswer, UploadAnswer, UploadObjectsAnswer

router = APIRouter(prefix="/v1", tags=["search"], responses=ERRORS)
_WAIT_S = 10.0
UploadId = Annotated[str, Path(max_length=64)]


@router.post(
    "/uploads",
    status_code=HTTPStatus.CREATED,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_image(request: Request, service: ServiceDep) -> UploadAnswer:
    """Upload an image to search with; it is kept in memory for half an hour at most."""
    data = await request.body()
    if not data:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "expected an image, got no bytes")
    stored = await service.queue.draw(lambda: service.uploads.add(data))
    service.finder.begin(stored.identity)
    height, width = stored.pixels.shape[:2]
    return UploadAnswer(upload_id=stored.identity, width=width, height=height)


@router.get("/uploads/{upload_id}/objects")
async def get_upload_objects(upload_id: UploadId, service: ServiceDep) -> UploadObjectsAnswer:
    """What an uploaded image shows, largest first, and which indexed images it is a copy of.

    It is looked for in the background: after ten seconds the answer is that it still is.
    """
    _get_upload(service, upload_id)
    with suppress(ProblemError):
        await service.finder.wait(upload_id, _WAIT_S)
    upload = _get_upload(service, upload_id)
    if upload.error is not None:
        raise upload.error
    if upload.found is None:
        return UploadObjectsAnswer(upload_id=upload_id, state="looking")
    return UploadObjectsAnswer(
        upload_id=upload_id,
        state="found",
        copies=upload.found.copies,
        objects=tuple(
            FoundAnswer.from_mask(found.mask, found.object_id) for found in upload.found.objects
        ),
    )


@router.get("/uploads/{upload_id}/preview.jpg", response_class=Response, responses=JPEG)
async def get_upload_preview(
    upload_id: UploadId,
    request: Request,
    service: ServiceDep,
    size: Annotated[int, Query(ge=16, le=4096, description="Of the longer side, pixels.")] = 1280,
) -> Response:
    """An uploaded image, upright, as it is searched with."""
    upload = _get_upload(service, upload_id)

    def draw() -> Drawn:
        return Drawn(preview_jpeg(upload.pixels, size))

    return await send_picture(request, service.queue, draw, f"{upload_id}-{size}", "image/jpeg")


def _get_upload(service: Service, upload_id: str) -> Upload:
    upload = service.uploads.get(upload_id)
    if upload is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no upload has this id, or it has expired")
    return upload
