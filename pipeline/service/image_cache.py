"""Pictures of what was found, always encoded anew: nothing of a stored file is passed on."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.drawing.contact_sheet import outlined, tinted
from pipeline.search.source_images import read_picture
from pipeline.settings import Settings
from schemas.errors import ObjectChangedError
from schemas.images import UInt8Image
from schemas.payload import PointPayload
from schemas.search import Box, SearchHit

CONTEXT_SHARE = 0.3
"""Of an object's longer side, shown around it on each side."""
MIN_CONTEXT_PX = 72
"""Smaller objects are shown with more around them, rather than blurred."""
_QUALITY = 88
_MOST_BYTES = 256 * 2**20


class Pictures:
    """Reads images of hits, and keeps the latest in memory. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, UInt8Image] = OrderedDict()
        self._lock = threading.Lock()

    def pixels(self, hit: SearchHit) -> UInt8Image:
        """The image of a hit, uint8 (height, width, 3).

        Raises ObjectChangedError if it is of another size by now, StoreError, BadImageError.
        """
        payload = hit.payload
        with self._lock:
            kept = self._kept.get(payload.generation + payload.image_id)
            if kept is not None:
                self._kept.move_to_end(payload.generation + payload.image_id)
                return kept
        pixels = read_picture(hit.payload, self._settings).pixels
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


def crop_box(payload: PointPayload) -> Box:
    """What a crop shows of the image: the object with its surroundings, in its own proportions."""
    x0, y0, x1, y1 = payload.bbox
    longer = max(x1 - x0, y1 - y0)
    around = round(max(CONTEXT_SHARE * longer, (MIN_CONTEXT_PX - longer) / 2))
    return (
        max(0, x0 - around),
        max(0, y0 - around),
        min(payload.width, x1 + around),
        min(payload.height, y1 + around),
    )


def crop_jpeg(pixels: UInt8Image, payload: PointPayload, side: int, *, outline: bool) -> bytes:
    """The object in its surroundings, its longer side `side` pixels; JPEG."""
    x0, y0, x1, y1 = crop_box(payload)
    picture = Image.fromarray(pixels[y0:y1, x0:x1])
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    if outline and payload.rle is not None:
        mask = payload.rle.to_rle().decode_columns(x0, x1)[y0:y1]
        picture = outlined(picture, mask, scale=max(1.0, side / 360))
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
    return _jpeg(tinted(picture, shapes) if shapes else picture)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
