"""Cuts the thumbnails that are kept of objects and images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.records import EmbeddedImage, ObjectRecord
from schemas.thumbnails import Thumbnail
from workers.images.surroundings import Box, square_crop_box

_QUALITY, _METHOD = 70, 0
"""Of 80 objects of the demo's scenes at 256 px: 3.8 KB and 1.9 ms of a core each, two thirds of it
for the encoder; with its method 2 and Lanczos' filter it is 2.9 KB and 2.9 ms."""
# Reduced by a whole factor first, to no less than the size.
_REDUCING_GAP = 1.0


def add_thumbnails(image: EmbeddedImage, pixels: UInt8Image, side_px: int) -> EmbeddedImage:
    """The same with a thumbnail of every object, and of the image, at most `side_px` long."""
    height, width = image.size_hw
    whole = make_thumbnail(pixels, (0, 0, width, height), side_px)
    return replace(
        image,
        whole=replace(image.whole, thumbnail=whole),
        objects=_cut_objects(image.objects, pixels, side_px),
        added=_cut_objects(image.added, pixels, side_px),
    )


def _cut_objects(
    records: Sequence[ObjectRecord], pixels: UInt8Image, side_px: int
) -> tuple[ObjectRecord, ...]:
    return tuple(
        replace(record, thumbnail=_cut_around(pixels, record.mask, side_px)) for record in records
    )


def _cut_around(pixels: UInt8Image, mask: ObjectMask, side_px: int) -> Thumbnail:
    return make_thumbnail(pixels, square_crop_box(mask.bbox_xyxy, mask.rle.size_hw), side_px)


def make_thumbnail(pixels: UInt8Image, box_xyxy: Box, side_px: int) -> Thumbnail:
    """A part of an image, uint8 (height, width, 3), reduced to `side_px` if it is longer."""
    x0, y0, x1, y1 = box_xyxy
    picture = Image.fromarray(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    scale = side_px / max(picture.size)
    if scale < 1:
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=_METHOD)
    return Thumbnail(box_xyxy, buffer.getvalue())


def read_thumbnail(webp: bytes) -> UInt8Image:
    """The pixels of a thumbnail, uint8 (height, width, 3). Raises ValueError for other bytes."""
    try:
        with Image.open(io.BytesIO(webp), formats=("WEBP",)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as exc:
        raise ValueError(f"expected a thumbnail in WebP, got {len(webp)} other bytes") from exc
