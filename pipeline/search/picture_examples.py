"""Turns pictures, and the objects in them that boxes and points show, into vectors."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from cachetools import LRUCache

from pipeline.search.box_prompt import box_mask, check_box
from pipeline.search.found_objects import (
    FoundObject,
    FoundObjects,
    find_image,
    list_indexed,
    wrap_masks,
)
from pipeline.search.image_copies import find_copies
from pipeline.search.mask_prompt import given_mask
from pipeline.search.resolved_example import ResolvedExample
from pipeline.search.same_object import has_length, unit
from pipeline.search.source_images import query_image, read_source_image
from pipeline.settings import Settings
from schemas.box_choice import choose_mask
from schemas.errors import ObjseekError, UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.points import Point
from schemas.records import Float32Vector
from schemas.search import (
    Condition,
    FileExample,
    ImageCopy,
    IndexedImageExample,
    Region,
    RegionChoice,
    SearchQuery,
    UploadExample,
)
from workers.images.crops import square_image
from workers.protocols import VectorIndex

_MAX_SEGMENTED = 32  # pictures whose objects are remembered
_Picture = FileExample | UploadExample | IndexedImageExample
_Pixels = Callable[[], UInt8Image]


class PictureModels(Protocol):
    """The models that pictures are resolved with."""

    def embed_image(self, image: UInt8Image) -> Float32Vector:
        """The unit vector of a picture as it is."""
        ...

    def embed_object(self, image: UInt8Image, mask: ObjectMask) -> Float32Vector:
        """The unit vector of an object."""
        ...

    def mask_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask:
        """The mask at a point (x, y, pixels)."""
        ...

    def find_masks(self, image: UInt8Image) -> list[ObjectMask]:
        """The masks of all objects."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class UploadedPicture:
    """A picture that was given to a service, uint8 (height, width, 3).

    `found` is None if its objects have yet to be found, or cannot be because of `error`.
    """

    pixels: UInt8Image
    found: FoundObjects | None = None
    error: ObjseekError | None = None


Uploads = Callable[[str], UploadedPicture]
"""The uploaded picture of an id. Raises UsageError for an id that is not known."""


class PictureExamples:
    """Resolves pictures. `embedder_name`: whose vectors they are compared with."""

    def __init__(
        self, index: VectorIndex, models: PictureModels, settings: Settings, embedder_name: str
    ) -> None:
        self._index, self._models = index, models
        self._settings, self._embedder_name = settings, embedder_name
        self._found: LRUCache[bytes, FoundObjects] = LRUCache(_MAX_SEGMENTED)
        self.uploads: Uploads | None = None
        # Read ahead of the query that names them, by path.
        self._files: dict[str, UInt8Image] = {}

    def forget(self) -> None:
        """Look anew for what pictures show: the index may hold other objects of them now."""
        self._found.clear()

    def read_files(self, query: SearchQuery) -> None:
        """Read the files that a query names, for when it is resolved.

        Raises UsageError where there is none, and what reading an image raises.
        """
        for example in (*query.wanted, *query.negative):
            if isinstance(example, FileExample):
                self._files[example.path] = query_image(example.path, self._settings).pixels

    def resolve(self, example: _Picture) -> ResolvedExample:
        """What a picture, or a region of it, stands for.

        Raises UsageError, ModelError, and what reading an image raises.
        """
        match example:
            case FileExample(path=path):
                pixels = self._files.pop(path, None)
                if pixels is None:
                    pixels = query_image(path, self._settings).pixels
                return self._resolve_picture(UploadedPicture(pixels), example)
            case UploadExample(upload_id=identity):
                if self.uploads is None:
                    raise UsageError("expected a service for an upload: only that takes any")
                return self._resolve_picture(self.uploads(identity), example)
            case IndexedImageExample(image_id=identity):
                return self._resolve_indexed(find_image(self._index, identity), example)

    def find_objects(self, pixels: UInt8Image) -> FoundObjects:
        """All objects of a picture, uint8 (height, width, 3); they are kept for a while.

        Those of an exact copy in the index; otherwise the segmenter looks for them.
        """
        key = hashlib.blake2b(pixels.tobytes(), digest_size=16, key=b"%d" % pixels.shape[1])
        found = self._found.get(key.digest())
        if found is None:
            found = self.find_indexed(pixels)
            if not found.is_indexed:
                found = replace(found, objects=wrap_masks(self._models.find_masks(pixels)))
            self._found[key.digest()] = found
        return found

    def find_indexed(self, pixels: UInt8Image) -> FoundObjects:
        """What the index holds of a picture: its copies, and the objects of an exact one."""
        copies = self._find_copies(pixels, self._embed_whole(pixels))
        found = FoundObjects((), copies)
        if not found.is_indexed:
            return found
        image = self._index.stored([uuid.UUID(copies[0].object_id)])
        objects = [item for point in image.values() for item in list_indexed(self._index, point)]
        return replace(found, objects=tuple(objects))

    def _resolve_picture(
        self, picture: UploadedPicture, example: FileExample | UploadExample
    ) -> ResolvedExample:
        pixels = picture.pixels
        if example.is_whole:
            vector = self._embed_whole(pixels)
            known = picture.found
            copies = known.copies if known else self._find_copies(pixels, vector)
            return ResolvedExample(vector, example.weight, copies=copies)
        number = example.object_index if isinstance(example, UploadExample) else None
        if number is None and (example.box_xyxy is None or example.exact_box):
            return self._resolve_prompted(pixels, example)
        if example.box_xyxy is not None:
            check_box(example.box_xyxy, (pixels.shape[0], pixels.shape[1]))
        if picture.error is not None:
            raise picture.error
        found = picture.found or self.find_objects(pixels)
        if number is None:
            return self._resolve_box(found.objects, lambda: pixels, example)
        if number >= len(found.objects):
            count = len(found.objects)
            raise UsageError(f"the upload has {count} objects, it has none at place {number}")
        return self._resolve_found(found.objects[number], lambda: pixels, example.weight)

    def _resolve_indexed(self, image: Point, example: IndexedImageExample) -> ResolvedExample:
        payload = image.parse_payload()

        def read() -> UInt8Image:
            return read_source_image(payload, self._settings).pixels

        if example.box_xyxy is None or example.exact_box:
            return self._resolve_prompted(read(), example)
        check_box(example.box_xyxy, (payload.height, payload.width))
        return self._resolve_box(list_indexed(self._index, image), read, example)

    def _resolve_box(
        self, objects: tuple[FoundObject, ...], read: _Pixels, example: _Picture
    ) -> ResolvedExample:
        """The object that fits the example's box best, or the box itself where none does."""
        assert example.box_xyxy is not None
        best = choose_mask([found.mask for found in objects], example.box_xyxy)
        if best is None:
            pixels = read()
            mask = box_mask(example.box_xyxy, (pixels.shape[0], pixels.shape[1]))
            region = Region(mask, RegionChoice.FALLBACK)
            return ResolvedExample(
                self._models.embed_object(pixels, mask), example.weight, region=region
            )
        return self._resolve_found(objects[best], read, example.weight)

    def _resolve_found(self, found: FoundObject, read: _Pixels, weight: float) -> ResolvedExample:
        """An object of a picture, with its stored vector where the index has it."""
        vector = self._read_vector(found)
        if vector is not None:
            region = Region(found.mask, RegionChoice.INDEXED, found.object_id)
        else:
            vector = self._models.embed_object(read(), found.mask)
            region = Region(found.mask, RegionChoice.FOUND)
        return ResolvedExample(vector, weight, region=region)

    def _resolve_prompted(self, pixels: UInt8Image, example: _Picture) -> ResolvedExample:
        """The example's mask, the mask at its point, or its box as it is."""
        size_hw = pixels.shape[0], pixels.shape[1]
        if example.box_xyxy is not None:
            mask = box_mask(example.box_xyxy, size_hw)
            region = Region(mask, RegionChoice.BOX)
        elif example.mask is not None:
            mask = given_mask(example.mask, size_hw)
            region = Region(mask, RegionChoice.MASK)
        else:
            assert example.point_xy is not None
            mask = self._models.mask_at(pixels, example.point_xy)
            region = Region(mask, RegionChoice.POINT)
        return ResolvedExample(
            self._models.embed_object(pixels, mask), example.weight, region=region
        )

    def _read_vector(self, found: FoundObject) -> Float32Vector | None:
        """The vector that the index holds of an object; None if it has none of this embedder's."""
        if found.object_id is None:
            return None
        identity = uuid.UUID(found.object_id)
        point = self._index.stored([identity]).get(identity)
        if point is None or point.payload.get("embedder") != self._embedder_name:
            return None
        return unit(point.vector) if has_length(point.vector) else None

    def _embed_whole(self, pixels: UInt8Image) -> Float32Vector:
        fill = self._settings.embedder.cutout_fill
        return self._models.embed_image(square_image(pixels, fill))

    def _find_copies(self, pixels: UInt8Image, vector: Float32Vector) -> tuple[ImageCopy, ...]:
        own = Condition(field="embedder", op="=", value=self._embedder_name)
        return find_copies(self._index, vector, pixels, self._settings, (own,))
