"""Finds the true objects whose best mask is the most better, or worse, in a second run."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.masks.detections import Floats, ImageMasks
from schemas.coco import CocoImage
from schemas.masks import CocoRle

MATCH_IOU = 0.5
LEAST_CHANGE = 0.05
"""A change of IoU that is counted, and worth a picture."""
_LEAST_FIT = 0.1


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """A true object, the number of its class, and its best mask in each run, with its IoU.

    None where the best one is of something else: its IoU is less than 0.1.
    """

    image: CocoImage
    category: int
    true: CocoRle
    masks: tuple[CocoRle | None, CocoRle | None]
    ious: tuple[float, float]

    @property
    def gain(self) -> float:
        """By how much the IoU is higher in the second run."""
        return self.ious[1] - self.ious[0]


@dataclass(slots=True)
class ObjectChanges:
    """Keeps the `most` largest gains and losses of all images, and the IoUs of all objects."""

    most: int
    ious: list[Floats] = field(default_factory=list)
    _gains: list[tuple[float, int, ObjectChange]] = field(default_factory=list)
    _losses: list[tuple[float, int, ObjectChange]] = field(default_factory=list)
    _objects: int = 0

    def add(
        self,
        image: CocoImage,
        runs: tuple[ImageMasks, ImageMasks],
        overlaps: tuple[Floats, Floats],
    ) -> None:
        """Count an image: its masks in both runs, and their IoU, (found, true) each."""
        best = np.stack([iou.max(axis=0, initial=0.0) for iou in overlaps], axis=1)
        own = [not mask.is_crowd for mask in runs[0].true]
        self.ious.append(best[own])
        for column in np.flatnonzero(own).tolist():
            gain = float(best[column, 1] - best[column, 0])
            kept = self._gains if gain > 0 else self._losses
            # The first of equals stays.
            rank = (abs(gain), -self._objects)
            self._objects += 1
            if abs(gain) < LEAST_CHANGE or (len(kept) == self.most and rank <= kept[0][:2]):
                continue
            change = _describe(image, runs, overlaps, column)
            heapq.heappush(kept, (*rank, change))
            if len(kept) > self.most:
                heapq.heappop(kept)

    @property
    def gains(self) -> list[ObjectChange]:
        """The objects that gained the most, the largest gain first."""
        return [change for _, _, change in sorted(self._gains, reverse=True)]

    @property
    def losses(self) -> list[ObjectChange]:
        """The objects that lost the most, the largest loss first."""
        return [change for _, _, change in sorted(self._losses, reverse=True)]

    def join(self) -> Floats:
        """The IoU of each object's best mask in the first and the second run: (objects, 2)."""
        return np.concatenate([np.zeros((0, 2)), *self.ious])


def _describe(
    image: CocoImage,
    runs: tuple[ImageMasks, ImageMasks],
    overlaps: tuple[Floats, Floats],
    column: int,
) -> ObjectChange:
    masks: list[CocoRle | None] = []
    ious = []
    for run, iou in zip(runs, overlaps, strict=True):
        best = float(iou[:, column].max(initial=0.0))
        masks.append(run.found[int(iou[:, column].argmax())].rle if best >= _LEAST_FIT else None)
        ious.append(best)
    true = runs[0].true[column]
    return ObjectChange(image, true.category, true.rle, (masks[0], masks[1]), (ious[0], ious[1]))
