"""Matches found masks with true ones as COCO's evaluation does, at ten levels of IoU at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.masks.detections import Floats, Int64s
from workers.numba_jit import jit_exact

IOU_LEVELS = np.linspace(0.5, 0.95, 10)
"""COCO's: 0.50, 0.55 and so on."""
Bits = npt.NDArray[np.uint16]
"""A bit for each level of `IOU_LEVELS`, the lowest for the first."""
_MOST_IOU = 1 - 1e-10  # so that the same mask matches at a level of 1


@jit_exact
def match_found(
    iou: Floats, found_classes: Int64s, true_classes: Int64s, crowd: npt.NDArray[np.bool_],
    ignored: npt.NDArray[np.bool_], levels: Floats,
) -> tuple[Bits, Bits]:  # fmt: skip
    """Which found masks match a true one, and which of these are to be ignored: (found,) each.

    iou (found, true), found masks surest first, IoS with crowds. Each takes the true mask of its
    class with the highest IoU that is left, one that is `ignored` only if no other is there; a
    crowd is never used up (COCOeval.evaluateImg of pycocotools).
    """
    count, wanted = iou.shape
    matched, passed_over = np.zeros(count, np.uint16), np.zeros(count, np.uint16)
    # Those that count come first, in the order given.
    order = np.empty(wanted, np.int64)
    at = 0
    for turn in range(2):
        for number in range(wanted):
            if ignored[number] == (turn == 1):
                order[at] = number
                at += 1
    for level in range(len(levels)):
        taken = np.zeros(wanted, np.bool_)
        bit = np.uint16(1 << level)
        for row in range(count):
            least, best = min(levels[level], _MOST_IOU), -1
            for place in range(wanted):
                number = int(order[place])
                if true_classes[number] != found_classes[row]:
                    continue
                if taken[number] and not crowd[number]:
                    continue
                if best >= 0 and ignored[number] and not ignored[best]:
                    break
                if iou[row, number] >= least:
                    least, best = iou[row, number], number
            if best >= 0:
                taken[best] = True
                matched[row] |= bit
                if ignored[best]:
                    passed_over[row] |= bit
    return matched, passed_over
