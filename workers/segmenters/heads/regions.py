"""Turns a map of numbers into regions: connected ones, their areas, boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask, CocoRle
from workers.numba_jit import jit_exact
from workers.rle_numba import encode_changes

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """`ids` int32 (height, width): the region of each pixel, -1: none.

    Of n regions: areas int64 (n,), boxes int64 (n, 4) xyxy, half-open, and the mean over each of
    the numbers that were given, float64 (n,).
    """

    ids: Int32s
    areas: Int64s
    boxes: Int64s
    means: Float64s

    def encode(self, region: int) -> CocoRle:
        """The mask of a region, which is not empty."""
        x0, y0, x1, y1 = self.boxes[region].tolist()
        height, width = self.ids.shape
        return encode_window(self.ids[y0:y1, x0:x1] == region, (x0, y0), (height, width))


def measure_regions(ids: Int32s, count: int, numbers: Float32s) -> Regions:
    """The regions that int32 `ids` (height, width) number below `count`, -1: none."""
    areas, sums = np.zeros(count, np.int64), np.zeros(count, np.float64)
    boxes = np.zeros((count, 4), np.int64)
    _measure(ids, numbers, areas, boxes, sums)
    return Regions(ids, areas, boxes, sums / np.maximum(areas, 1))


def connect(labels: Int32s) -> tuple[Int32s, Int32s]:
    """Number the connected regions of equal labels, in the order of their first pixels.

    Neighbours are those by sides and corners; labels below 0 are none. int32 (height, width): the
    region of each pixel, -1: none; int32 (n,): the label of each region.
    """
    ids = np.empty(labels.shape, np.int32)
    parents = np.empty(labels.size, np.int32)
    kinds = np.empty(labels.size, np.int32)
    count = _connect(labels, ids, parents, kinds)
    return ids, kinds[:count].copy()


def encode_window(mask: BoolMask, left_top: tuple[int, int], size_hw: tuple[int, int]) -> CocoRle:
    """The mask of an image of `size_hw` that is bool `mask` (h, w) in a window of it, else 0."""
    (left, top), (height, width) = left_top, size_hw
    if mask.shape[0] < height:
        # What lies between a column's end and the next one's begin is outside.
        mask = np.pad(mask, ((0, 1), (0, 0)))
    states = np.pad(mask.ravel(order="F"), 1)
    place = np.flatnonzero(states[1:] != states[:-1])
    column, row = np.divmod(place, mask.shape[0])
    changes = (column + left) * height + row + top
    (counts,) = encode_changes(changes, np.array([0, len(changes)]), height * width)
    return CocoRle(size_hw, counts)


@jit_exact
def _measure(ids: Int32s, numbers: Float32s, areas: Int64s, boxes: Int64s, sums: Float64s) -> None:
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            region = ids[y, x]
            if region < 0:
                continue
            box = boxes[region]
            if areas[region] == 0:
                box[0], box[1], box[2], box[3] = x, y, x + 1, y + 1
            else:
                box[0], box[2], box[3] = min(box[0], x), max(box[2], x + 1), y + 1
            areas[region] += 1
            sums[region] += numbers[y, x]


@jit_exact
def _connect(labels: Int32s, ids: Int32s, parents: Int32s, kinds: Int32s) -> int:
    """Fill `ids` and `kinds`; how many regions there are. `parents` is room to work in."""
    height, width = labels.shape
    begun = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            ids[y, x] = -1
            if label < 0:
                continue
            root = -1
            for step in range(4):
                # Left, above left, above, above right.
                row = y - (step > 0)
                column = x - 1 if step == 0 else x + step - 2
                if row < 0 or column < 0 or column >= width or labels[row, column] != label:
                    continue
                other = _find_root(parents, ids[row, column])
                if root < 0:
                    root = other
                elif other < root:
                    parents[root], root = other, other
                elif root < other:
                    parents[other] = root
            if root < 0:
                root = begun
                parents[begun] = begun
                begun += 1
            ids[y, x] = root
    count = 0
    for number in range(begun):
        # A root is the first of its region, so that what it is renumbered to is known by now.
        if parents[number] == number:
            kinds[count] = -1
            parents[number] = -1 - count
            count += 1
        else:
            root = parents[number]
            while root >= 0:
                root = parents[root]
            parents[number] = root
    for y in range(height):
        for x in range(width):
            if ids[y, x] >= 0:
                ids[y, x] = -1 - parents[ids[y, x]]
                kinds[ids[y, x]] = labels[y, x]
    return count


@jit_exact
def _find_root(parents: Int32s, number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number
