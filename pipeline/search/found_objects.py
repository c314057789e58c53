"""Finds the objects of pictures: those that the index holds, or those that a segmenter finds."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.search.same_frame import frame_conditions
from schemas.errors import UsageError
from schemas.ids import IMAGE_ORDINAL
from schemas.masks import ObjectMask
from schemas.points import Point
from schemas.search import Condition, ImageCopy
from workers.indexes.points import sound_mask_of
from workers.protocols import VectorIndex


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object of a picture; `object_id` is that of its point, if the index holds it."""

    mask: ObjectMask
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """All objects of a picture, and the indexed images that it is a copy of."""

    objects: tuple[FoundObject, ...]
    copies: tuple[ImageCopy, ...] = ()

    @property
    def is_indexed(self) -> bool:
        """Whether the picture itself is in the index, so that these are its objects there."""
        return any(copy.exact for copy in self.copies)


def wrap_masks(masks: Sequence[ObjectMask]) -> tuple[FoundObject, ...]:
    """Objects that the index does not hold."""
    return tuple(FoundObject(mask) for mask in masks)


def list_indexed(index: VectorIndex, image: Point) -> tuple[FoundObject, ...]:
    """The objects of an indexed image in the version of its point, without those that are broken.

    Of a video those alone whose key frame is that of the point. Raises VectorIndexError if that
    point is none of objseek's.
    """
    payload = image.parse_payload()
    conditions = (
        *frame_conditions(payload),
        Condition(field="kind", op="=", value="object"),
        Condition(field="generation", op="=", value=payload.generation),
    )
    objects = []
    for point in index.scroll(conditions):
        rle = sound_mask_of(point, index.note_broken)
        if rle is None:
            continue
        stored = point.parse_payload()
        mask = ObjectMask.measure(
            rle,
            predicted_iou=stored.predicted_iou,
            stability_score=stored.stability_score,
            segmenter_label=stored.segmenter_label,
            segmenter_score=stored.segmenter_score,
        )
        if mask is not None:
            objects.append(FoundObject(mask, point.id))
    # Of masks that fit a box equally well the same is chosen every time.
    return tuple(sorted(objects, key=lambda found: (-found.mask.area_px, found.object_id)))


def find_image(index: VectorIndex, identity: str) -> Point:
    """The latest point of a whole image, by the image's id; of a video that of its first shot.

    Raises UsageError if there is none.
    """
    try:
        uuid.UUID(identity)
    except ValueError as exc:
        raise UsageError(f"expected the id of an indexed image, got {identity!r}") from exc
    conditions = (
        Condition(field="image_id", op="=", value=identity),
        Condition(field="kind", op="=", value="image"),
        Condition(field="ordinal", op="=", value=IMAGE_ORDINAL),
    )

    def age(point: Point) -> tuple[datetime, str]:
        return point.parse_payload().ingested_at, point.id

    latest = max(index.scroll(conditions), key=age, default=None)
    if latest is None:
        raise UsageError(f"the index holds no image {identity}")
    return latest


def find_image_or_object(index: VectorIndex, identity: str) -> Point:
    """As `find_image`; of an image that was imported without a point of its own, an object."""
    try:
        return find_image(index, identity)
    except UsageError:
        own = Condition(field="image_id", op="=", value=identity)
        objects = (point for point in index.scroll([own]) if point.payload.get("kind") == "object")
        found = min(objects, key=lambda point: point.id, default=None)
        if found is None:
            raise
        return found
