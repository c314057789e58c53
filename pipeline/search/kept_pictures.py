"""Shows objects by the thumbnails that were kept of them, and reads their images where none was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from pipeline.search.source_images import image_ref, read_source_images
from pipeline.settings import Settings
from schemas.errors import ObjectChangedError, ObjectGoneError, StoreError
from schemas.images import DecodedImage, Failure, ImageRef, UInt8Image
from schemas.options import StoreOptions
from schemas.payload import PointPayload
from schemas.search import Box
from workers.images.thumbnails import read_thumbnail
from workers.protocols import VectorIndex
from workers.stores.open import find, read

CHANGED_MARK = "the image has changed since"
VIDEO_CHANGED_MARK = "the video has changed since"
GONE_MARK = "the image is no longer there"
_MOST_ENLARGED = 2.0
_REMEMBERED = 4096

Thumbnails = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Gives the thumbnails that are kept of points, by their ids, as WebP files."""


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """What was kept of a point: `pixels`, uint8 (height, width, 3), of `box_xyxy` of its image.

    `mark` says what has become of the image since, and is empty for nothing. One that `is_final`
    is shown the same at any later time: it has no mark, and stands in for no image.
    """

    pixels: UInt8Image
    box_xyxy: Box
    mark: str = ""
    is_final: bool = True

    def cut(self, box_xyxy: Box) -> tuple[UInt8Image, Box]:
        """The pixels of a part, and that part: as much as was kept of it."""
        x0, y0, x1, y1 = self.box_xyxy
        height, width = self.pixels.shape[:2]
        across, down = (x1 - x0) / width, (y1 - y0) / height
        left, top = max(box_xyxy[0], x0), max(box_xyxy[1], y0)
        right, bottom = min(box_xyxy[2], x1), min(box_xyxy[3], y1)
        first_x, first_y = int((left - x0) / across), int((top - y0) / down)
        last_x = max(first_x + 1, round((right - x0) / across))
        last_y = max(first_y + 1, round((bottom - y0) / down))
        return self.pixels[first_y:last_y, first_x:last_x], (left, top, right, bottom)

    def suffices(self, side_px: int) -> bool:
        """Whether it can be shown `side_px` long: it is not reduced, or not much enlarged."""
        height, width = self.pixels.shape[:2]
        is_original: bool = width >= self.box_xyxy[2] - self.box_xyxy[0]
        return is_original or side_px <= _MOST_ENLARGED * max(height, width)


Picture = DecodedImage | Failure | KeptPicture
"""What an object is shown by, or why it cannot be."""


ImageReader = Callable[[Sequence[PointPayload]], Iterator[DecodedImage | Failure]]
"""Gives the image of each point, in their order, or why it cannot be read."""


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where pictures of points come from: thumbnails, and images where none is kept."""

    thumbnails: Thumbnails
    read_images: ImageReader

    @staticmethod
    def with_stored_images(thumbnails: Thumbnails, settings: Settings) -> PictureSource:
        """Beside the thumbnails the images where they are stored."""
        return PictureSource(thumbnails, lambda points: read_source_images(points, settings))

    @staticmethod
    def of_index(index: VectorIndex, settings: Settings) -> PictureSource:
        """What an index keeps, and its images where they are stored."""
        return PictureSource.with_stored_images(thumbnails_of(index), settings)


def thumbnails_of(index: VectorIndex) -> Thumbnails:

    def get(ids: Sequence[str]) -> Mapping[str, bytes]:
        found = index.thumbnails([UUID(identity) for identity in ids])
        return {str(identity): webp for identity, webp in found.items()}

    return get


def read_pictures(
    points: Sequence[tuple[str, PointPayload]], source: PictureSource
) -> Iterator[Picture]:
    """A picture for each point, given with its id, in their order.

    Images are read, a few at a time, of points of which no thumbnail is kept.
    """
    with_one = [identity for identity, payload in points if payload.thumbnail_check is not None]
    found = source.thumbnails(with_one) if with_one else {}
    kept = [keep_picture(payload, found.get(identity)) for identity, payload in points]
    others = [payload for (_, payload), own in zip(points, kept, strict=True) if own is None]
    images = source.read_images(others)
    for own in kept:
        yield next(images) if own is None else own


def keep_picture(payload: PointPayload, webp: bytes | None) -> KeptPicture | None:
    """The picture of a thumbnail; None where there is none, or it cannot be read."""
    if webp is None or payload.thumbnail_box is None:
        return None
    try:
        pixels = read_thumbnail(webp)
    except ValueError:
        return None
    mark = find_mark(payload)
    return KeptPicture(pixels, payload.thumbnail_box, mark, is_final=not mark)


def find_mark(payload: PointPayload) -> str:
    """What has become of the image of a point since it was indexed; empty for nothing.

    Only files are looked at: a bucket would have to be asked, with credentials.
    """
    if payload.store != "file":
        return ""
    ref = image_ref(payload)
    try:
        now = find(ref, StoreOptions())
    except StoreError:
        return ""
    return GONE_MARK if now is None else _find_mark(ref, now.version)


@lru_cache(_REMEMBERED)
def _find_mark(ref: ImageRef, stamp: str) -> str:
    # By its stamp, so that an image is read once, however many of its objects are shown.
    if ref.time_s is not None:
        return "" if stamp == ref.version else VIDEO_CHANGED_MARK
    try:
        read(ref, StoreOptions())
    except StoreError as exc:
        return mark_of(exc)
    return ""


def mark_of(error: StoreError) -> str:
    """What an error says of an image that was there; empty where that is not known."""
    if isinstance(error, ObjectChangedError):
        return CHANGED_MARK
    return GONE_MARK if isinstance(error, ObjectGoneError) else ""
