"""Plays a user who clicks: on the middle of an object, then on what a mask has got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.numba_jit import jit_exact
from workers.refiners.innermost import find_innermost

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Click:
    """A point (x, y), pixels, on the object or on what is not of it."""

    point_xy: tuple[float, float]
    on_object: bool


def find_largest_error(mask: Mask, truth: Mask) -> tuple[Mask, bool] | None:
    """The largest connected region where a mask is wrong, and whether it misses the object there.

    Regions are connected by sides. Of equally large ones what is missing comes first. None where
    mask and truth are equal.
    """
    found: tuple[Mask, bool] | None = None
    most = 0
    for wrong, is_missing in ((truth & ~mask, True), (mask & ~truth, False)):
        labels, sizes = _label_regions(wrong)
        largest = int(sizes.argmax())
        if sizes[largest] > most:
            most = int(sizes[largest])
            found = labels == largest, is_missing
    return found


def correct(mask: Mask, truth: Mask) -> Click | None:
    """A click on the innermost pixel of the largest error of a mask; None if there is no error."""
    error = find_largest_error(mask, truth)
    return None if error is None else Click(find_innermost(error[0]), error[1])


@jit_exact
def _label_regions(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Numbers of a mask's regions from 1, int32 (height, width), 0 outside; sizes, that of 0 0."""
    height, width = mask.shape
    labels = np.zeros((height, width), np.int32)
    sizes = [0]
    stack = np.empty(height * width, np.int64)
    for start in range(height * width):
        if not mask[start // width, start % width] or labels[start // width, start % width]:
            continue
        label, size, count = len(sizes), 0, 1
        stack[0] = start
        labels[start // width, start % width] = label
        while count:
            count -= 1
            row, column = stack[count] // width, stack[count] % width
            size += 1
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                y, x = row + down, column + right
                if 0 <= y < height and 0 <= x < width and mask[y, x] and not labels[y, x]:
                    labels[y, x] = label
                    stack[count] = y * width + x
                    count += 1
        sizes.append(size)
    return labels, np.array(sizes)
