"""From what a query names to vectors: texts, indexed objects, images and regions of them."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.search.same_object import gather_object, unit
from pipeline.search.source_images import query_image, read_picture
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.records import Float32Vector
from schemas.search import (
    Box,
    Condition,
    Example,
    FileExample,
    IndexedImageExample,
    ObjectExample,
    SearchHit,
    TextExample,
    UploadExample,
)
from workers.images.crops import object_views, square_image
from workers.protocols import VectorIndex

_TEXTS_KEPT = 4096

Uploads = Callable[[str], UInt8Image]
"""The pixels of an uploaded image. Raises UsageError for an id that is not known."""


class Models(Protocol):
    """What examples need to be looked at with."""

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]: ...

    def embed_views(self, views: Sequence[UInt8Image]) -> Float32Vector:
        """The unit mean of the views' vectors."""
        ...

    def mask_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask: ...


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """What an example stands for: a unit vector, float32 (dim,).

    `covered` are ids that show the same thing; `mask` is the region that was looked at.
    """

    vector: Float32Vector
    weight: float
    covered: frozenset[str] = frozenset()
    mask: ObjectMask | None = None


class Examples:
    """Resolves what queries name. `embedder_name`: whose vectors they are compared with."""

    def __init__(
        self,
        index: VectorIndex,
        models: Models,
        settings: Settings,
        embedder_name: str,
    ) -> None:
        self._index, self._models = index, models
        self._settings, self._embedder_name = settings, embedder_name
        self.uploads: Uploads | None = None
        self._texts: OrderedDict[str, Float32Vector] = OrderedDict()

    def resolve(self, example: Example, max_overlap: float) -> Resolved:
        """What `example` stands for.

        Raises UsageError, EmbedderMismatchError, ModelError, and what reading an image raises.
        """
        match example:
            case TextExample(text=text):
                return Resolved(self.text_vectors([text])[0], example.weight)
            case ObjectExample(object_id=identity):
                return self._of_object(identity, example.weight, max_overlap)
            case FileExample(path=path):
                return self._of_picture(query_image(path, self._settings).pixels, example)
            case UploadExample(upload_id=identity):
                if self.uploads is None:
                    raise UsageError("expected a service for an upload: only that takes any")
                return self._of_picture(self.uploads(identity), example)
            case IndexedImageExample(image_id=identity):
                return self._of_image(image_point(self._index, identity), example)

    def text_vectors(self, texts: Sequence[str]) -> list[Float32Vector]:
        """Unit vectors of texts; those that were asked for lately are remembered."""
        for text in texts:
            if not text.strip():
                raise UsageError("expected a text to search for, got a blank one")
        missing = list(dict.fromkeys(text for text in texts if text not in self._texts))
        if missing:
            fresh = self._models.embed_texts(missing)
            self._texts.update(zip(missing, map(unit, fresh), strict=True))
        for text in texts:
            self._texts.move_to_end(text)
        vectors = [self._texts[text] for text in texts]
        while len(self._texts) > _TEXTS_KEPT:
            self._texts.popitem(last=False)
        return vectors

    def _of_object(self, text: str, weight: float, max_overlap: float) -> Resolved:
        thing = gather_object(self._index, object_uuid(text), max_overlap)
        if thing is None:
            raise UsageError(f"the index holds no object {text}")
        if thing.own.payload.embedder != self._embedder_name:
            raise EmbedderMismatchError(
                f"the object {text} was embedded by {thing.own.payload.embedder!r}, "
                f"it cannot be compared with objects of {self._embedder_name!r}"
            )
        return Resolved(thing.vector, weight, thing.overlapping)

    def _of_image(self, point: SearchHit, example: IndexedImageExample) -> Resolved:
        if example.box_xyxy is None and example.point_xy is None:
            return self._of_object(point.object_id, example.weight, 1.0)
        return self._of_picture(read_picture(point, self._settings).pixels, example)

    def _of_picture(
        self, pixels: UInt8Image, example: FileExample | UploadExample | IndexedImageExample
    ) -> Resolved:
        options = self._settings.embedder
        mask: ObjectMask | None = None
        if example.box_xyxy is not None:
            height, width = pixels.shape[:2]
            mask = box_mask(example.box_xyxy, (height, width))
        elif example.point_xy is not None:
            mask = self._models.mask_at(pixels, example.point_xy)
        if mask is None:
            views = [square_image(pixels, options.cutout_fill)]
        else:
            views = object_views(pixels, mask, options)
        return Resolved(self._models.embed_views(views), example.weight, mask=mask)


def image_point(index: VectorIndex, identity: str) -> SearchHit:
    """The latest point of a whole image, by the image's id. Raises UsageError if there is none."""
    try:
        uuid.UUID(identity)
    except ValueError as exc:
        raise UsageError(f"expected the id of an indexed image, got {identity!r}") from exc
    wanted = [("image_id", identity), ("kind", "image")]
    conditions = [Condition(field=field, op="=", value=value) for field, value in wanted]
    every = index.scroll(conditions)
    found = max(every, key=lambda one: (one.payload.ingested_at, one.object_id), default=None)
    if found is None:
        raise UsageError(f"the index holds no image {identity}")
    return found


def box_mask(box_xyxy: Box, size_hw: tuple[int, int]) -> ObjectMask:
    """A region, pixels and half-open, as the mask that fills it. Raises UsageError."""
    x0, y0, x1, y1 = box_xyxy
    height, width = size_hw
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UsageError(
            f"expected a box x0,y0,x1,y1 within the image's {width} x {height} pixels, "
            f"got {x0},{y0},{x1},{y1}"
        )
    mask = np.zeros(size_hw, np.bool_)
    mask[y0:y1, x0:x1] = True
    return ObjectMask(
        rle=CocoRle.from_mask(mask),
        bbox_xyxy=box_xyxy,
        area_px=(x1 - x0) * (y1 - y0),
        predicted_iou=1.0,
        stability_score=1.0,
        point_xy=((x0 + x1) / 2, (y0 + y1) / 2),
    )


def object_uuid(text: str) -> uuid.UUID:
    """The id of an indexed object. Raises UsageError for another text."""
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise UsageError(
            f"expected the id of an indexed object, as a search prints it, got {text!r}"
        ) from exc
