"""Measures the masks of tracks by J&F, as DAVIS defines it for objects that nobody pointed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.masks.boundary import find_contour_tolerance, measure_contour_f
from schemas.masks import CocoRle
from schemas.overlaps import mask_iou

MasksByFrame = Mapping[int, CocoRle]
"""The masks of an object or a track, by the number of the frame."""


@dataclass(frozen=True, slots=True)
class MaskQuality:
    """`j`, the mean IoU of masks, and `f`, that of the F measure of their contours."""

    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


def measure_mask_quality(
    true: Sequence[MasksByFrame], tracks: Sequence[MasksByFrame]
) -> list[MaskQuality]:
    """J and F of every true object, with the tracks that make the mean of J and F the highest.

    Means over the object's frames; in one in which its track has no mask, both are 0. An object
    without a track has 0. S. Caelles et al., "The 2019 DAVIS Challenge on VOS", where a track may
    be one object's alone.
    """
    pairs = [[_compare(masks, others) for others in tracks] for masks in true]
    qualities = [MaskQuality(0.0, 0.0) for _ in true]
    if true and tracks:
        table = np.array([[pair.j_and_f for pair in row] for row in pairs])
        for row, column in zip(*linear_sum_assignment(-table), strict=True):
            qualities[row] = pairs[row][column]
    return qualities


def _compare(true: MasksByFrame, track: MasksByFrame) -> MaskQuality:
    j, f = 0.0, 0.0
    for frame, rle in true.items():
        found = track.get(frame)
        if found is None:
            continue
        j += float(mask_iou([found], [rle])[0, 0])
        f += measure_contour_f(found, rle, find_contour_tolerance(rle.size_hw))
    return MaskQuality(j / len(true), f / len(true)) if true else MaskQuality(0.0, 0.0)
