"""Makes a mask of a box that is drawn in an image."""

from __future__ import annotations

import numpy as np

from schemas.errors import UsageError
from schemas.masks import CocoRle, ObjectMask
from schemas.search import Box


def check_box(box_xyxy: Box, size_hw: tuple[int, int]) -> None:
    """Raise UsageError for a box that does not lie in an image of this size."""
    x0, y0, x1, y1 = box_xyxy
    height, width = size_hw
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UsageError(
            f"expected a box x0,y0,x1,y1 within the image's {width} x {height} pixels, "
            f"got {x0},{y0},{x1},{y1}"
        )


def box_mask(box_xyxy: Box, size_hw: tuple[int, int]) -> ObjectMask:
    """A box, pixels and half-open, as the mask that fills it. Raises UsageError."""
    check_box(box_xyxy, size_hw)
    x0, y0, x1, y1 = box_xyxy
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
