"""Chooses the object that a box is drawn round, among the masks of its image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.masks import ObjectMask
from schemas.search import Box

_LEAST_INSIDE = 0.5
"""Less of a mask in the box, and only a part of the object was meant."""
_LEAST_BOX_IOU = 0.1
"""Of the mask's box with the drawn one: that of a box three times as wide and high is 0.11."""
_LEAST_SURENESS = 1e-3
_INSIDE_POWER, _BOX_IOU_POWER = 4, 0.5


def choose_mask(masks: Sequence[ObjectMask], box_xyxy: Box) -> int | None:
    """Which of an image's masks a box, pixels and half-open, is drawn round; None if none fits.

    That of the greatest `sureness * inside^4 * sqrt(box IoU)`, with `inside` the share of the
    mask in the box. Boxes are drawn too wide rather than too narrow, so what leaves the box costs
    more than what does not fill it. A mask fits with half of it inside and a box IoU of 0.1.
    """
    scores = [score_mask(mask, box_xyxy) for mask in masks]
    best = int(np.argmax(scores)) if scores else 0
    return best if scores and scores[best] > 0 else None


def score_mask(mask: ObjectMask, box_xyxy: Box) -> float:
    """How well a mask fits a box; see `choose_mask`. 0: it does not."""
    overlap = _box_iou(mask.bbox_xyxy, box_xyxy)
    if overlap < _LEAST_BOX_IOU:
        return 0.0
    x0, y0, x1, y1 = box_xyxy
    inside = int(mask.rle.decode_columns(x0, x1)[y0:y1].sum()) / mask.area_px
    if inside < _LEAST_INSIDE:
        return 0.0
    # A mask from elsewhere may be of no certainty at all.
    sureness = max(mask.sureness, _LEAST_SURENESS)
    return float(sureness * inside**_INSIDE_POWER * overlap**_BOX_IOU_POWER)


def _box_iou(box: Box, other: Box) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (_area(box) + _area(other) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
