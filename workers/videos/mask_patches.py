"""Moves and compares masks of frames, read on a coarse grid of points: cheap, and near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.masks import BoolMask, ObjectMask
from schemas.overlaps import Overlaps

_POINTS_ALONG_LONGER_SIDE = 320


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """A mask at every `step_px`-th pixel of its box: bool (rows, columns), from (x, y) in steps."""

    pixels: BoolMask
    x: int
    y: int
    step_px: int
    area: int

    def move(self, by_xy_px: tuple[float, float]) -> MaskPatch:
        """The patch elsewhere, to the nearest step; it may lie outside of its frame."""
        dx, dy = (round(by / self.step_px) for by in by_xy_px)
        return replace(self, x=self.x + dx, y=self.y + dy)


def cut_patch(mask: ObjectMask) -> MaskPatch:
    """Read a mask at the points of the grid. Raises ValueError for an invalid RLE."""
    height, width = mask.rle.size_hw
    step = max(1, round(max(height, width) / _POINTS_ALONG_LONGER_SIDE))
    x0, y0, x1, y1 = mask.bbox_xyxy
    columns, rows = (
        np.arange(-(-low // step), -(-high // step)) for low, high in ((x0, x1), (y0, y1))
    )
    places = rows[:, None] * step + columns * (step * height)
    ends = mask.rle.runs().cumsum()
    pixels: BoolMask = np.searchsorted(ends, places, side="right") % 2 == 1
    return MaskPatch(pixels, -(-x0 // step), -(-y0 // step), step, int(np.count_nonzero(pixels)))


def compare_patches(patches: Sequence[MaskPatch], others: Sequence[MaskPatch]) -> Overlaps:
    """IoU of every patch with every other one, of one size of frames: float64 (patches, others)."""
    iou = np.zeros((len(patches), len(others)))
    if not iou.size:
        return iou
    boxes, other_boxes = (
        np.array([_find_box(patch) for patch in side]) for side in (patches, others)
    )
    low = np.maximum(boxes[:, None, :2], other_boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], other_boxes[None, :, 2:])
    for row, column in np.argwhere((low < high).all(axis=2)).tolist():
        patch, other = patches[row], others[column]
        (x0, y0), (x1, y1) = low[row, column].tolist(), high[row, column].tolist()
        common = int(np.count_nonzero(_cut(patch, x0, y0, x1, y1) & _cut(other, x0, y0, x1, y1)))
        union = patch.area + other.area - common
        iou[row, column] = common / union if union else 0.0
    return iou


def _find_box(patch: MaskPatch) -> tuple[int, int, int, int]:
    rows, columns = patch.pixels.shape
    return patch.x, patch.y, patch.x + columns, patch.y + rows


def _cut(patch: MaskPatch, x0: int, y0: int, x1: int, y1: int) -> BoolMask:
    return patch.pixels[y0 - patch.y : y1 - patch.y, x0 - patch.x : x1 - patch.x]
