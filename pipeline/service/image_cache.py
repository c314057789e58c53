"""Caches the images of points, and draws crops, masks and previews of them.

Every picture is encoded afresh, so that no byte of a stored file is passed on.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from cachetools import LRUCache
from PIL import Image

from pipeline.drawing.contact_sheet import draw_mark
from pipeline.drawing.outlines import LINE_SIDE_PX, draw_line, outline_mask, smooth_mask, tint_masks
from pipeline.drawing.previews import crop_box
from pipeline.search.kept_pictures import KeptPicture, mark_of
from pipeline.search.source_images import read_source_image
from pipeline.settings import Settings
from schemas.errors import ObjectChangedError, StoreError, VectorIndexError
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.payload import PointPayload

_QUALITY = 88
_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as a file. One that is not final stands in for a better one, or has a mark."""

    data: bytes
    is_final: bool = True

    @classmethod
    def of(cls, shown: UInt8Image | KeptPicture, data: bytes) -> Self:
        """What was drawn of an image, or of what was kept of it."""
        return cls(data, not isinstance(shown, KeptPicture) or shown.is_final)


class ImageCache:
    """Reads the images of points, and keeps the latest in memory. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # An image that is larger than the cache is kept nevertheless, alone.
        self._images: LRUCache[str, UInt8Image] = LRUCache(
            _MAX_BYTES, getsizeof=lambda pixels: min(pixels.nbytes, _MAX_BYTES)
        )
        self._lock = threading.Lock()

    def picture(
        self, payload: PointPayload, kept: KeptPicture | None, side: int
    ) -> UInt8Image | KeptPicture:
        """What to show a point by, `side` pixels long: what was `kept` of it where that will do.

        And where its image is no longer what was indexed, or cannot be read. Raises as `pixels`.
        """
        if kept is not None and kept.suffices(side):
            return kept
        try:
            return self.pixels(payload)
        except StoreError as exc:
            if kept is None:
                raise
            return replace(kept, mark=mark_of(exc), is_final=False)

    def pixels(self, payload: PointPayload) -> UInt8Image:
        """The image of a point, uint8 (height, width, 3).

        Raises ObjectChangedError if its size has changed, StoreError, BadImageError.
        """
        key = f"{payload.generation} {payload.image_id} {payload.t_key}"
        with self._lock:
            cached = self._images.get(key)
        if cached is not None:
            return cached
        pixels = read_source_image(payload, self._settings).pixels
        if payload.has_size and pixels.shape[:2] != (payload.height, payload.width):
            raise ObjectChangedError(f"{payload.uri} is of another size than when it was indexed")
        with self._lock:
            self._images[key] = pixels
        return pixels


def crop_jpeg(
    shown: UInt8Image | KeptPicture, payload: PointPayload, side: int, *, outline: bool
) -> bytes:
    """The object with a margin, as a JPEG whose longer side is `side` pixels.

    `shown` is its image, or what was kept of it. A mask that does not fit is not drawn. Raises
    VectorIndexError for a box that does not.
    """
    if not isinstance(shown, KeptPicture):
        payload = payload.with_size((shown.shape[0], shown.shape[1]))
    if not payload.has_sound_box():
        raise VectorIndexError(
            f"expected a box within {payload.width} x {payload.height} pixels, the index holds "
            f"{payload.bbox} ({payload.uri}): `objseek verify --repair` has the image done again"
        )
    x0, y0, x1, y1 = crop_box(payload)
    if isinstance(shown, KeptPicture):
        part, (x0, y0, x1, y1) = shown.cut((x0, y0, x1, y1))
        picture = Image.fromarray(part)
    else:
        picture = Image.fromarray(shown[y0:y1, x0:x1])
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    rle = payload.sound_mask() if outline else None
    if rle is not None:
        mask = rle.decode_columns(x0, x1)[y0:y1]
        picture = outline_mask(picture, mask, scale=max(1.0, side / 360))
    if isinstance(shown, KeptPicture):
        picture = draw_mark(picture, shown.mark, max(1.0, side / 360))
    return _encode_jpeg(picture)


def mask_png(payload: PointPayload) -> bytes:
    """The object's mask over the whole image as a PNG of 1 bit, white where the object is.

    Raises VectorIndexError for a mask that does not fit the image.
    """
    mask = payload.decode_mask()
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def preview_jpeg(
    shown: UInt8Image | KeptPicture, max_side: int, masks: Sequence[PointPayload] = ()
) -> bytes:
    """The image as a JPEG at most `max_side` pixels long, with the `masks` of its objects drawn.

    `shown` is the image, or what was kept of it.
    """
    picture = Image.fromarray(shown.pixels if isinstance(shown, KeptPicture) else shown)
    picture = _fit(picture, max_side)
    shapes = [rle.decode() for mask in masks if (rle := mask.sound_mask()) is not None]
    picture = tint_masks(picture, shapes) if shapes else picture
    if isinstance(shown, KeptPicture):
        picture = draw_mark(picture, shown.mark, 1.0)
    return _encode_jpeg(picture)


def frame_jpeg(pixels: UInt8Image, max_side: int, rle: CocoRle | None) -> bytes:
    """A frame as a JPEG at most `max_side` pixels long, with the line around a mask of it."""
    picture = _fit(Image.fromarray(pixels), max_side)
    if rle is not None:
        draw_line(
            picture, smooth_mask(rle.decode(), picture.size), max(picture.size) / LINE_SIDE_PX
        )
    return _encode_jpeg(picture)


def _fit(picture: Image.Image, max_side: int) -> Image.Image:
    scale = min(1.0, max_side / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _encode_jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
