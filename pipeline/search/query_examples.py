"""Turns what a query names into vectors: texts, indexed objects, images and their regions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from cachetools import LRUCache

from pipeline.search.same_object import gather_object, unit
from pipeline.search.source_images import query_image, read_source_image
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError, UsageError
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.points import Point
from schemas.records import Float32Vector
from schemas.search import (
    Box,
    Condition,
    Example,
    FileExample,
    IndexedImageExample,
    ObjectExample,
    SearchQuery,
    TextExample,
    UploadExample,
)
from workers.images.crops import object_views, square_image
from workers.protocols import VectorIndex

_MAX_TEXTS = 4096  # in memory

Uploads = Callable[[str], UInt8Image]
"""The pixels of an uploaded image. Raises UsageError for an id that is not known."""


class Models(Protocol):
    """The models that examples are resolved with."""

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """One vector a text."""
        ...

    def embed_views(self, views: Sequence[UInt8Image]) -> Float32Vector:
        """The unit mean of the views' vectors."""
        ...

    def mask_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask:
        """The mask at a point (x, y, pixels)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedExample:
    """What an example stands for: a unit vector, float32 (dim,).

    `object_ids` are those of indexed objects that show the same; `mask` is the region it shows.
    """

    vector: Float32Vector
    weight: float
    object_ids: frozenset[str] = frozenset()
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
        self._texts: LRUCache[str, Float32Vector] = LRUCache(_MAX_TEXTS)
        # Read ahead of the query that names them, by path.
        self._files: dict[str, UInt8Image] = {}

    def read_files(self, query: SearchQuery) -> None:
        """Read the files that a query names, for when it is resolved.

        Raises UsageError where there is none, and what reading an image raises.
        """
        for example in (*query.wanted, *query.negative):
            if isinstance(example, FileExample):
                self._files[example.path] = query_image(example.path, self._settings).pixels

    def resolve(self, example: Example, max_overlap: float) -> ResolvedExample:
        """What `example` stands for.

        Raises UsageError, EmbedderMismatchError, ModelError, and what reading an image raises.
        """
        match example:
            case TextExample(text=text):
                return ResolvedExample(self.embed_texts([text])[0], example.weight)
            case ObjectExample(object_id=identity):
                return self._resolve_object(identity, example.weight, max_overlap)
            case FileExample(path=path):
                pixels = self._files.pop(path, None)
                if pixels is None:
                    pixels = query_image(path, self._settings).pixels
                return self._resolve_pixels(pixels, example)
            case UploadExample(upload_id=identity):
                if self.uploads is None:
                    raise UsageError("expected a service for an upload: only that takes any")
                return self._resolve_pixels(self.uploads(identity), example)
            case IndexedImageExample(image_id=identity):
                return self._resolve_image(find_image(self._index, identity), example)

    def embed_texts(self, texts: Sequence[str]) -> list[Float32Vector]:
        """Unit vectors of texts; the latest are kept. Raises UsageError for a blank one."""
        for text in texts:
            if not text.strip():
                raise UsageError("expected a text to search for, got a blank one")
        vectors = {text: self._texts[text] for text in texts if text in self._texts}
        missing = list(dict.fromkeys(text for text in texts if text not in vectors))
        if missing:
            fresh = self._models.embed_texts(missing)
            vectors.update(zip(missing, map(unit, fresh), strict=True))
        self._texts.update(vectors)
        return [vectors[text] for text in texts]

    def _resolve_object(self, text: str, weight: float, max_overlap: float) -> ResolvedExample:
        same = gather_object(self._index, parse_object_id(text), max_overlap)
        if same is None:
            raise UsageError(f"the index holds no object {text}")
        embedder = same.own.payload["embedder"]
        if embedder != self._embedder_name:
            raise EmbedderMismatchError(
                f"the object {text} was embedded by {embedder!r}, "
                f"it cannot be compared with objects of {self._embedder_name!r}"
            )
        return ResolvedExample(same.vector, weight, same.overlapping)

    def _resolve_image(self, point: Point, example: IndexedImageExample) -> ResolvedExample:
        if example.box_xyxy is None and example.point_xy is None:
            return self._resolve_object(point.id, example.weight, 1.0)
        return self._resolve_pixels(
            read_source_image(point.parse_payload(), self._settings).pixels, example
        )

    def _resolve_pixels(
        self, pixels: UInt8Image, example: FileExample | UploadExample | IndexedImageExample
    ) -> ResolvedExample:
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
        return ResolvedExample(self._models.embed_views(views), example.weight, mask=mask)


def find_image(index: VectorIndex, identity: str) -> Point:
    """The latest point of a whole image, by the image's id. Raises UsageError if there is none."""
    try:
        uuid.UUID(identity)
    except ValueError as exc:
        raise UsageError(f"expected the id of an indexed image, got {identity!r}") from exc
    conditions = (
        Condition(field="image_id", op="=", value=identity),
        Condition(field="kind", op="=", value="image"),
    )

    def age(point: Point) -> tuple[datetime, str]:
        return point.parse_payload().ingested_at, point.id

    latest = max(index.scroll(conditions), key=age, default=None)
    if latest is None:
        raise UsageError(f"the index holds no image {identity}")
    return latest


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


def parse_object_id(text: str) -> uuid.UUID:
    """The id of an indexed object. Raises UsageError for another text."""
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise UsageError(
            f"expected the id of an indexed object, as a search prints it, got {text!r}"
        ) from exc
