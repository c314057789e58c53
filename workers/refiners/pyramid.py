"""Halves images and masks, and carries what was decided at half the size back to the whole."""

from __future__ import annotations

import numpy as np
from PIL import Image

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from workers.refiners.strips import STRIP_PX, StripWriter, cut_strips


def halve_image(image: UInt8Image) -> UInt8Image:
    """Means of two by two pixels, of fewer at odd ends: uint8 (rows, columns, 3) RGB."""
    return np.asarray(Image.fromarray(image).reduce(2))


def halve_mask(rle: CocoRle, strip_px: int = STRIP_PX) -> CocoRle:
    """What holds of half of two by two pixels or more, as images are halved."""
    height, width = rle.size_hw
    writer = StripWriter(((height + 1) // 2, (width + 1) // 2))
    left, _, right, _ = rle.bbox_xyxy
    for begin, end in cut_strips(left // 2, (right + 1) // 2, strip_px):
        mask = rle.decode_columns(2 * begin, min(2 * end, width))
        # The last row and column of odd sizes count twice.
        even = np.pad(mask, ((0, height % 2), (0, mask.shape[1] % 2)), mode="edge").view(np.uint8)
        inside = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        writer.write(begin, inside >= 2)
    return writer.finish()


def carry_changes(
    rle: CocoRle, before: CocoRle, after: CocoRle, strip_px: int = STRIP_PX
) -> CocoRle:
    """A mask as its half, `before`, has become: only what has changed there changes here.

    So what is too fine to be seen at half the size stays.
    """
    height, width = rle.size_hw
    writer = StripWriter(rle.size_hw)
    boxes = [half.bbox_xyxy for half in (before, after)]
    left = min(rle.bbox_xyxy[0], *(2 * box[0] for box in boxes))
    right = max(rle.bbox_xyxy[2], *(min(2 * box[2], width) for box in boxes))
    for begin, end in cut_strips(left // 2, (right + 1) // 2, strip_px):
        first, stop = 2 * begin, min(2 * end, width)
        old, new = (half.decode_columns(begin, end) for half in (before, after))
        changed, mask = _double(old != new, height, stop - first), rle.decode_columns(first, stop)
        mask[changed] = _double(new, height, stop - first)[changed]
        writer.write(first, mask)
    return writer.finish()


def _double(mask: BoolMask, height: int, width: int) -> BoolMask:
    doubled: BoolMask = mask.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return doubled
