"""Finds which objects of a frame go on with which tracks: by place and colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from schemas.masks import ObjectMask
from schemas.overlaps import Overlaps
from schemas.records import Float32Matrix
from workers.videos.mask_patches import MaskPatch, compare_patches
from workers.videos.motion import Motion, find_centre

_IOU_WEIGHT = 0.4
_UNRELATED_COLOURS = 0.7
"""Of most different objects colours are less alike than that: it says nothing."""
_OVERLAPS_FROM = 0.05
FARTHER_COSTS = 0.2
"""What a diagonal of the frame takes from how alike things are that come back."""
_LEAST_ALIKE = 0.85  # of colours, to come back
_MOST_GROWTH = 4.0  # of the area till then
_REACH = 1.0  # sides of the box, from where it was or may be


def assign_pairs(scores: Overlaps, least: float) -> list[tuple[int, int]]:
    """The rows and columns that belong together, each at most once, by the highest sum of scores.

    Scores below `least` count for nothing.
    """
    rows, columns = linear_sum_assignment(-np.where(scores >= least, scores, 0))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if scores[row, column] >= least]


def score_by_place_and_colours(
    tracks: Sequence[Motion],
    means: Float32Matrix,
    time_s: float,
    masks: Sequence[ObjectMask],
    patches: Sequence[MaskPatch],
    colours: Float32Matrix,
) -> tuple[Overlaps, npt.NDArray[np.bool_]]:
    """How well each mask of a frame goes on with each track: float64 (tracks, masks), 0 to 1.

    And whether it overlaps the track's: what does not goes on by its colours alone.

    Two fifths are the IoU with the track's last mask, moved as it moved before or left where it
    was, whichever fits better; the rest is how alike the colours are (see `mask_colours`), `means`
    being the unit means of tracks. What is out of reach of both places scores 0.
    """
    shifts = [motion.predict_shift(time_s) for motion in tracks]
    moved = [
        motion.patch.move((float(shift[0]), float(shift[1])))
        for motion, shift in zip(tracks, shifts, strict=True)
    ]
    iou = np.maximum(
        compare_patches(moved, patches),
        compare_patches([motion.patch for motion in tracks], patches),
    )
    alike = ((means @ colours.T - _UNRELATED_COLOURS) / (1 - _UNRELATED_COLOURS)).clip(0, 1)
    scores: Overlaps = _IOU_WEIGHT * iou + (1 - _IOU_WEIGHT) * alike
    centres = np.array([find_centre(mask) for mask in masks])
    for row, (motion, shift) in enumerate(zip(tracks, shifts, strict=True)):
        x0, y0, x1, y1 = motion.mask.bbox_xyxy
        way = centres - find_centre(motion.mask)
        off = np.minimum(np.linalg.norm(way, axis=1), np.linalg.norm(way - shift, axis=1))
        is_out = (iou[row] < _OVERLAPS_FROM) & (off > _REACH * max(x1 - x0, y1 - y0))
        scores[row, is_out] = 0
    return scores, iou >= _OVERLAPS_FROM


def score_by_colours(
    tracks: Sequence[Motion],
    means: Float32Matrix,
    masks: Sequence[ObjectMask],
    colours: Float32Matrix,
) -> Overlaps:
    """How alike the colours of lost tracks and masks that may be their objects' are.

    float64 (tracks, masks), a little less for what is farther off: of things that look the same,
    what was lost here comes back here. 0 where they are too little alike, or the areas differ too
    much.
    """
    alike = (means @ colours.T).astype(np.float64)
    areas, last = (
        np.array([mask.area_px for mask in side], np.float64)
        for side in (masks, [motion.mask for motion in tracks])
    )
    growth = areas / last[:, None]
    is_other = (alike < _LEAST_ALIKE) | (np.maximum(growth, 1 / growth) > _MOST_GROWTH)
    centres, ends = (
        np.array([find_centre(mask) for mask in side])
        for side in (masks, [motion.mask for motion in tracks])
    )
    way = np.linalg.norm(centres - ends[:, None], axis=2) / np.hypot(*masks[0].rle.size_hw)
    scores: Overlaps = np.where(is_other, 0, alike - FARTHER_COSTS * way)
    return scores
