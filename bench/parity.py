"""How far two lists of masks of the same image are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco

from schemas.masks import CocoRle

MIN_IOU = 0.99
# Of our parameters what SamAutomaticMaskGenerator cannot do, or not without OpenCV, switched off.
OURS_OFF: dict[str, float] = {
    "min_mask_region_area": 0,
    "mask_nms_thresh": 1.0,
    "part_thresh": 1.0,
    "min_area_frac": 0.0,
    "max_area_frac": 1.0,
    "max_objects": 10**6,
}


@dataclass(frozen=True, slots=True)
class Parity:
    """Masks of either side, those matched, those the same to the byte."""

    theirs: int = 0
    ours: int = 0
    theirs_matched: int = 0
    ours_matched: int = 0
    identical: int = 0

    def __add__(self, other: Parity) -> Parity:
        return Parity(
            self.theirs + other.theirs,
            self.ours + other.ours,
            self.theirs_matched + other.theirs_matched,
            self.ours_matched + other.ours_matched,
            self.identical + other.identical,
        )

    @property
    def matched_share(self) -> float:
        """Of the side that has less of its masks matched; 1.0 where neither has any."""
        sides = (self.theirs_matched, self.theirs), (self.ours_matched, self.ours)
        return min(matched / count if count else 1.0 for matched, count in sides)

    @property
    def identical_share(self) -> float:
        """Of the side that has more masks."""
        most = max(self.theirs, self.ours)
        return self.identical / most if most else 1.0


def ious(theirs: Iterable[CocoRle], ours: Iterable[CocoRle]) -> np.ndarray:
    """float64 (theirs, ours)."""
    sides = [[{"size": r.size_hw, "counts": r.counts} for r in rles] for rles in (theirs, ours)]
    if not all(sides):
        return np.zeros((len(sides[0]), len(sides[1])))
    iou: np.ndarray = coco.iou(*sides, [0] * len(sides[1]))
    return iou


def parity(theirs: Sequence[CocoRle], ours: Sequence[CocoRle], min_iou: float = MIN_IOU) -> Parity:
    """Masks match at an IoU of `min_iou`. Equal masks of one side count once."""
    wanted, got = list(dict.fromkeys(theirs)), list(dict.fromkeys(ours))
    near = ious(wanted, got) >= min_iou
    return Parity(
        len(wanted),
        len(got),
        int(near.any(axis=1).sum()),
        int(near.any(axis=0).sum()),
        len(set(wanted) & set(got)),
    )
