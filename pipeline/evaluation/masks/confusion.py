"""Counts which classes found masks are taken for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.masks.detections import Floats, ImageMasks

MATCH_IOU = 0.5
MISSED = INVENTED = None
"""The found class of a true mask that nothing matches, the true class of a found one."""


@dataclass(slots=True)
class Confusion:
    """Pairs of true and found classes of masks, whatever these are, image after image."""

    pairs: Counter[tuple[int | None, int | None]] = field(default_factory=Counter)
    ious: list[float] = field(default_factory=list)

    def add(self, image: ImageMasks, iou: Floats) -> list[tuple[int, int]]:
        """Count an image, and return its pairs: places of found and true masks.

        The pair of the highest IoU first, as long as it is 0.5 or more; crowds have no pair, and
        what lies in them by half is not invented.
        """
        left = iou.copy()
        crowds = np.array([mask.is_crowd for mask in image.true], np.bool_)
        left[:, crowds] = 0
        pairs = []
        while left.size and left.max() >= MATCH_IOU:
            row, column = divmod(int(left.argmax()), left.shape[1])
            pairs.append((row, column))
            self.ious.append(float(left[row, column]))
            left[row], left[:, column] = 0, 0
        rows, columns = ({pair[side] for pair in pairs} for side in (0, 1))
        for row, column in pairs:
            self.pairs[image.true[column].category, image.found[row].category] += 1
        for column, true in enumerate(image.true):
            if column not in columns and not true.is_crowd:
                self.pairs[true.category, MISSED] += 1
        for row, found in enumerate(image.found):
            if row not in rows and not (iou[row, crowds] >= MATCH_IOU).any():
                self.pairs[INVENTED, found.category] += 1
        return pairs

    def extend(self, other: Confusion) -> None:
        """Count the images of another after these."""
        self.pairs.update(other.pairs)
        self.ious += other.ious

    @property
    def class_accuracy(self) -> float | None:
        """Of pairs of masks, those of one class; None without pairs."""
        pairs = {pair: count for pair, count in self.pairs.items() if None not in pair}
        total = sum(pairs.values())
        right = sum(count for (true, found), count in pairs.items() if true == found)
        return right / total if total else None
