"""Pictures of what was found, always encoded anew: nothing of a stored file is passed on."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.drawing.contact_sheet import outline_mask, tint_masks
from pipeline.drawing.previews import crop_box
from pipeline.search.source_images import read_source_image
from pipeline.settings import Settings
from schemas.errors import ObjectChangedError
from schemas.images import UInt8Image
from schemas.payload import PointPayload

_QUALITY = 88
_MOST_BYTES = 256 * 2**20


class Pictures:
    """Reads images of points, and keeps the latest in memory. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, UInt8Image] = OrderedDict()
        self._lock = threading.Lock()

    def pixels(self, payload: PointPayload) -> UInt8Image:
        """The image of a point, uint8 (height, width, 3).

        Raises ObjectChangedError if it is of another size by now, StoreError, BadImageError.
        """
        with self._lock:
            kept = self._kept.get(payload.generation + payload.image_id)
            if kept is not None:
                self._kept.move_to_end(payload.generation + payload.image_id)
                return kept
        pixels = read_source_image(payload, self._settings).pixels
        if pixels.shape[:2] != (payload.height, payload.width):
            raise ObjectChangedError(f"{payload.uri} is of another size than when it was indexed")
        with self._lock:
            self._kept[payload.generation + payload.image_id] = pixels
            while len(self._kept) > 1 and self.held_bytes > _MOST_BYTES:
                self._kept.popitem(last=False)
        return pixels

    @property
    def held_bytes(self) -> int:
        return sum(pixels.nbytes for pixels in self._kept.values())


def crop_jpeg(pixels: UInt8Image, payload: PointPayload, side: int, *, outline: bool) -> bytes:
    """The object in its surroundings, its longer side `side` pixels; JPEG."""
    x0, y0, x1, y1 = crop_box(payload)
    picture = Image.fromarray(pixels[y0:y1, x0:x1])
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    if outline and payload.rle is not None:
        mask = payload.rle.to_rle().decode_columns(x0, x1)[y0:y1]
        picture = outline_mask(picture, mask, scale=max(1.0, side / 360))
    return _jpeg(picture)


def mask_png(payload: PointPayload) -> bytes:
    """The object's mask over the whole image: 8 bits, 255 where the object is; PNG."""
    if payload.rle is None:
        mask = np.ones((payload.height, payload.width), np.bool_)
    else:
        mask = payload.rle.to_rle().decode()
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def preview_jpeg(pixels: UInt8Image, max_side: int, masks: Sequence[PointPayload] = ()) -> bytes:
    """The image, at most `max_side` pixels long, with `masks` of its objects drawn; JPEG."""
    picture = Image.fromarray(pixels)
    scale = min(1.0, max_side / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    shapes = [one.rle.to_rle().decode() for one in masks if one.rle is not None]
    return _jpeg(tint_masks(picture, shapes) if shapes else picture)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
