"""Finds the pixel of a mask that is farthest from all others."""

from __future__ import annotations

import numpy as np

from schemas.masks import BoolMask
from workers.numba_jit import jit_exact
from workers.rle_numba import Int64s


def find_innermost(mask: BoolMask) -> tuple[float, float]:
    """The middle (x, y) of the pixel of a mask, bool (height, width), farthest from any other.

    The image's edge is an edge of the mask too. Of equally deep ones the first row by row. Raises
    ValueError for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("an empty mask has no innermost point")
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    row, column = np.unravel_index(int(_square_depths(part).argmax()), part.shape)
    return float(left + column - 1 + 0.5), float(top + row - 1 + 0.5)


@jit_exact
def _square_depths(mask: BoolMask) -> Int64s:
    """The square of each pixel's distance to the nearest one that is not of the mask.

    The mask has an empty rim. Exact: by columns first, then along rows as far as it can matter.
    """
    height, width = mask.shape
    above = np.zeros((height, width), np.int64)
    for column in range(width):
        for row in range(1, height):
            above[row, column] = above[row - 1, column] + 1 if mask[row, column] else 0
        for row in range(height - 2, -1, -1):
            above[row, column] = min(above[row, column], above[row + 1, column] + 1)
    depths = np.zeros((height, width), np.int64)
    for row in range(height):
        for column in range(width):
            best = above[row, column] ** 2
            distance = 1
            while distance * distance < best:
                # The rim is empty, so that the search ends before it leaves the image.
                for other in (column - distance, column + distance):
                    best = min(best, above[row, other] ** 2 + distance * distance)
                distance += 1
            depths[row, column] = best
    return depths
