"""Objects and images of the index, by their ids alone; pictures are always encoded anew."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from pipeline.search.query_examples import find_image
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import ERRORS, Parts, PartsOf
from pipeline.service.image_cache import crop_jpeg, mask_png, preview_jpeg
from pipeline.service.problems import ProblemError
from pipeline.service.uploads import UploadNotFoundError
from schemas.api import ImageAnswer, ObjectAnswer
from schemas.errors import UsageError
from schemas.points import Point
from schemas.search import Condition

router = APIRouter(prefix="/v1", tags=["objects"], responses=ERRORS)
_MOST_OBJECTS = 1000
# An id stands for one version of an image under one pipeline: what it shows never changes.
_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
Identity = Annotated[uuid.UUID, Path()]


def _pictured(media_type: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The picture.", "content": {media_type: binary}}}


@router.get("/objects/{object_id}")
async def get_object(object_id: Identity, parts: PartsOf) -> ObjectAnswer:
    """An object: where it is, its mask, its labels."""
    return await _object(parts, object_id)


@router.get(
    "/objects/{object_id}/crop.jpg", response_class=Response, responses=_pictured("image/jpeg")
)
async def get_crop(
    object_id: Identity,
    request: Request,
    parts: PartsOf,
    size: Annotated[int, Query(ge=16, le=2048, description="Of the longer side, pixels.")] = 512,
    outline: Annotated[bool, Query(description="Draw the mask.")] = True,
) -> Response:
    """The object in its surroundings."""
    hit = await _object(parts, object_id)

    def draw() -> bytes:
        return crop_jpeg(parts.pictures.pixels(hit.payload), hit.payload, size, outline=outline)

    return await _picture(request, parts, draw, f"{object_id}-{size}-{outline}", "image/jpeg")


@router.get(
    "/objects/{object_id}/mask.png", response_class=Response, responses=_pictured("image/png")
)
async def get_mask(object_id: Identity, request: Request, parts: PartsOf) -> Response:
    """The object's mask over its whole image: white where the object is."""
    hit = await _object(parts, object_id)
    return await _picture(
        request, parts, lambda: mask_png(hit.payload), str(object_id), "image/png"
    )


@router.get("/images/{image_id}")
async def get_image(image_id: Identity, parts: PartsOf) -> ImageAnswer:
    """An image with all of its objects."""
    image, objects = await _image(parts, image_id, objects=True)
    return ImageAnswer(
        image_id=image.payload.image_id,
        object_id=image.object_id,
        payload=image.payload,
        objects=tuple(objects),
    )


@router.get(
    "/images/{image_id}/preview.jpg", response_class=Response, responses=_pictured("image/jpeg")
)
async def get_preview(
    image_id: Identity,
    request: Request,
    parts: PartsOf,
    size: Annotated[int, Query(ge=16, le=4096, description="Of the longer side, pixels.")] = 1280,
    masks: Annotated[bool, Query(description="Draw the masks of all objects.")] = False,
) -> Response:
    """The image, upright, at most `size` pixels long."""
    image, objects = await _image(parts, image_id, objects=masks)
    payloads = [one.payload for one in objects]

    def draw() -> bytes:
        return preview_jpeg(parts.pictures.pixels(image.payload), size, payloads)

    tag = f"{image.payload.generation}-{size}-{masks}"
    return await _picture(request, parts, draw, tag, "image/jpeg")


@router.get(
    "/uploads/{upload_id}/preview.jpg", response_class=Response, responses=_pictured("image/jpeg")
)
async def get_upload_preview(
    upload_id: Annotated[str, Path(max_length=64)],
    request: Request,
    parts: PartsOf,
    size: Annotated[int, Query(ge=16, le=4096, description="Of the longer side, pixels.")] = 1280,
) -> Response:
    """An uploaded image, upright, as it is searched with."""
    try:
        pixels = parts.uploads.get(upload_id).pixels
    except UploadNotFoundError:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no upload has this id, or no longer") from None

    def draw() -> bytes:
        return preview_jpeg(pixels, size)

    return await _picture(request, parts, draw, f"{upload_id}-{size}", "image/jpeg")


async def _object(parts: Parts, identity: uuid.UUID) -> ObjectAnswer:
    point = await parts.desk.ask(lambda searcher: searcher.find(str(identity)))
    if point is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"the index holds no object {identity}")
    return _answer_of(point)


async def _image(
    parts: Parts, identity: uuid.UUID, *, objects: bool
) -> tuple[ObjectAnswer, list[ObjectAnswer]]:
    def look(searcher: Searcher) -> tuple[ObjectAnswer, list[ObjectAnswer]]:
        image = _answer_of(find_image(searcher.index, str(identity)))
        if not objects:
            return image, []
        of_image = (
            Condition(field="image_id", op="=", value=str(identity)),
            Condition(field="kind", op="=", value="object"),
            Condition(field="generation", op="=", value=image.payload.generation),
        )
        found = map(_answer_of, searcher.index.scroll(of_image))
        return image, sorted(found, key=lambda one: -one.payload.area)[:_MOST_OBJECTS]

    try:
        return await parts.desk.ask(look)
    except UsageError as exc:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(exc)) from exc


def _answer_of(point: Point) -> ObjectAnswer:
    return ObjectAnswer(object_id=point.id, payload=point.parse_payload())


async def _picture(
    request: Request, parts: Parts, draw: Callable[[], bytes], tag: str, media_type: str
) -> Response:
    headers = {**_KEPT, "ETag": f'"{tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    data = await parts.desk.draw(draw)
    return Response(data, media_type=media_type, headers=headers)
