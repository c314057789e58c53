"""How far the contours of two masks are from each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask, CocoRle
from workers.numba_jit import jit_exact


def measure_distance_px(mask: CocoRle, true: CocoRle) -> float:
    """The mean of the distances from each contour's pixels to the other, both ways, in pixels.

    A contour is of the pixels of a mask that have one beside them, by a side, that is not in it or
    in the image.
    """
    boxes = np.array([mask.bbox_xyxy, true.bbox_xyxy])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    contours = [find_contour(each.decode_columns(x0, x1)[y0:y1]) for each in (mask, true)]
    return (_go(contours[0], contours[1]) + _go(contours[1], contours[0])) / 2


def find_contour(mask: BoolMask) -> npt.NDArray[np.int64]:
    """The pixels of a mask's contour, int64 (n, 2): row, column."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


@jit_exact
def _go(here: npt.NDArray[np.int64], there: npt.NDArray[np.int64]) -> float:
    """The mean distance of each pixel here to the nearest there."""
    total = 0.0
    for k in range(len(here)):
        nearest = 1 << 62
        for other in range(len(there)):
            down, right = here[k, 0] - there[other, 0], here[k, 1] - there[other, 1]
            nearest = min(nearest, down * down + right * right)
        total += np.sqrt(nearest)
    return total / len(here)
