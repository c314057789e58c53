"""Routes for objects and images of the index, by their ids alone, and pictures of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pipeline.search.found_objects import find_image_or_object
from pipeline.search.kept_pictures import keep_picture
from pipeline.search.searcher import Searcher
from pipeline.service.dependencies import ERRORS, Service, ServiceDep
from pipeline.service.image_cache import Drawn, crop_jpeg, mask_png, preview_jpeg
from pipeline.service.indexed_points import Identity, answer_point, find_object
from pipeline.service.pictures import JPEG, PNG, WEBP, send_picture
from pipeline.service.problems import ProblemError
from schemas.api import ImageAnswer, ObjectAnswer
from schemas.errors import BadImageError, StoreError, UsageError, VectorIndexError
from schemas.ids import fingerprint
from schemas.search import Condition
from workers.protocols import VectorIndex

router = APIRouter(prefix="/v1", tags=["objects"], responses=ERRORS)
_MAX_OBJECTS = 1000


@router.get("/objects/{object_id}")
async def get_object(object_id: Identity, service: ServiceDep) -> ObjectAnswer:
    """An object: where it is, its mask, its labels."""
    return await find_object(service, object_id)


@router.get("/objects/{object_id}/crop.jpg", response_class=Response, responses=JPEG)
async def get_crop(
    object_id: Identity,
    request: Request,
    service: ServiceDep,
    size: Annotated[int, Query(ge=16, le=2048, description="Of the longer side, pixels.")] = 512,
    outline: Annotated[bool, Query(description="Draw the mask.")] = True,
) -> Response:
    """The object in its surroundings, by its thumbnail where that is sharp enough.

    Where its image has changed since, or cannot be read, the thumbnail is shown at any size, and
    what has become of the image is written on it.
    """
    hit = await find_object(service, object_id)
    webp = await _find_thumbnail(service, hit)

    def draw() -> Drawn:
        kept = keep_picture(hit.payload, webp)
        shown = service.images.picture(hit.payload, kept, size)
        return Drawn.of(shown, crop_jpeg(shown, hit.payload, size, outline=outline))

    tag = f"{object_id}-{size}-{outline}"
    return await send_picture(request, service.queue, draw, tag, "image/jpeg")


@router.get("/objects/{object_id}/thumbnail.webp", response_class=Response, responses=WEBP)
async def get_thumbnail(object_id: Identity, request: Request, service: ServiceDep) -> Response:
    """The thumbnail that is kept of the object: `thumbnail_box` of its image, without outline."""
    hit = await find_object(service, object_id)
    webp = await _find_thumbnail(service, hit)
    if webp is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"no thumbnail is kept of {object_id}")
    tag = f"{hit.payload.thumbnail_check}"
    return await send_picture(request, service.queue, lambda: Drawn(webp), tag, "image/webp")


@router.get("/objects/{object_id}/mask.png", response_class=Response, responses=PNG)
async def get_mask(object_id: Identity, request: Request, service: ServiceDep) -> Response:
    """The object's mask over its whole image: white where the object is."""
    hit = await find_object(service, object_id)
    return await send_picture(
        request, service.queue, lambda: Drawn(mask_png(hit.payload)), str(object_id), "image/png"
    )


@router.get("/images/{image_id}")
async def get_image(image_id: Identity, service: ServiceDep) -> ImageAnswer:
    """An image with its objects, the 1000 largest.

    A video is what its first shot is, with the objects of all shots: box and mask of each are those
    at its own `t_key`, so no frame shows them all; `/v1/videos/{image_id}/objects` has what is seen
    at a time.
    """
    image, objects = await _find_image(service, image_id, objects=True)
    if not image.payload.has_size:
        image, *objects = await service.queue.draw(lambda: _measure(service, [image, *objects]))
    return ImageAnswer(
        image_id=image.payload.image_id,
        object_id=image.object_id,
        payload=image.payload,
        objects=tuple(objects),
    )


@router.get("/images/{image_id}/preview.jpg", response_class=Response, responses=JPEG)
async def get_preview(
    image_id: Identity,
    request: Request,
    service: ServiceDep,
    size: Annotated[int, Query(ge=16, le=4096, description="Of the longer side, pixels.")] = 1280,
    masks: Annotated[bool, Query(description="Draw the masks of all objects.")] = False,
) -> Response:
    """The image, upright, at most `size` pixels long; its thumbnail where it cannot be read.

    Of a video it is the frame that is typical of its first shot, with the masks that are of it.
    """
    image, objects = await _find_image(service, image_id, objects=masks)
    payloads = [hit.payload for hit in objects if hit.payload.t_key == image.payload.t_key]
    webp = await _find_thumbnail(service, image)

    def draw() -> Drawn:
        kept = keep_picture(image.payload, webp)
        shown = service.images.picture(image.payload, kept, size)
        return Drawn.of(shown, preview_jpeg(shown, size, payloads))

    # What is added by hand does not change the generation.
    shown = fingerprint({"objects": [hit.object_id for hit in objects]})
    tag = f"{image.payload.generation}-{size}-{masks}-{shown}"
    return await send_picture(request, service.queue, draw, tag, "image/jpeg")


def _measure(service: Service, points: Sequence[ObjectAnswer]) -> list[ObjectAnswer]:
    """Points of one image, with its size where an import did not know it, if it can be read."""
    try:
        height, width = service.images.pixels(points[0].payload).shape[:2]
    except (StoreError, BadImageError):
        return list(points)
    return [
        point.model_copy(update={"payload": point.payload.with_size((height, width))})
        for point in points
    ]


async def _find_thumbnail(service: Service, point: ObjectAnswer) -> bytes | None:
    if point.payload.thumbnail_check is None:
        return None
    identity = uuid.UUID(point.object_id)
    found = await service.queue.run(lambda searcher: searcher.index.thumbnails([identity]))
    return found.get(identity)


async def _find_image(
    service: Service, identity: uuid.UUID, *, objects: bool
) -> tuple[ObjectAnswer, list[ObjectAnswer]]:
    def find(searcher: Searcher) -> tuple[ObjectAnswer, list[ObjectAnswer]]:
        image = answer_point(find_image_or_object(searcher.index, str(identity)))
        if not objects:
            return image, []
        conditions = (
            Condition(field="image_id", op="=", value=str(identity)),
            Condition(field="kind", op="=", value="object"),
            Condition(field="generation", op="=", value=image.payload.generation),
        )
        by_area = sorted(
            _answer_sound(searcher.index, conditions), key=lambda answer: -answer.payload.area
        )
        return image, by_area[:_MAX_OBJECTS]

    try:
        return await service.queue.run(find)
    except UsageError as exc:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(exc)) from exc


def _answer_sound(index: VectorIndex, conditions: Sequence[Condition]) -> Iterator[ObjectAnswer]:
    """The points that objseek wrote; others are noted."""
    for point in index.scroll(conditions):
        try:
            yield answer_point(point)
        except VectorIndexError as exc:
            index.note_broken(point.id, str(exc))
