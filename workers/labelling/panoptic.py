"""Gives every pixel of an image to one of its masks at most: segments of a panoptic answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.masks import CocoRle, ObjectMask
from schemas.records import Float32Matrix
from workers.labelling.labeller import Labeller

_LEAST_FREE = 0.6
"""A mask of which less is free shows what the masks before it have shown."""
_LEAST_SCORE = 0.8
"""The least sum of a mask's sureness and of its label's share: from 1.2 on concepts are right more
often, but a tenth more of the objects has no segment."""


def label_segments(
    masks: Sequence[ObjectMask], vectors: Float32Matrix, labeller: Labeller
) -> list[ObjectMask]:
    """Every pixel to its best segment, and each segment to its nearest label.

    Masks compete by their sureness (the predicted IoU) plus the share of their nearest label. What
    no mask gets is void. `vectors` float32 (len(masks), dim) are unit.
    """
    named, scores = [], []
    for mask, naming in zip(masks, labeller.name(vectors), strict=True):
        if not naming.labels:
            continue
        best = naming.labels[0]
        score = mask.sureness + best.score
        if score >= _LEAST_SCORE:
            named.append(replace(mask, segmenter_label=best.name, segmenter_score=best.score))
            scores.append(score)
    return part_masks(named, scores)


def part_masks(masks: Sequence[ObjectMask], scores: Sequence[float]) -> list[ObjectMask]:
    """Disjoint masks: the highest score first, each gets what is still free of it.

    One is left out if less than six tenths of it is free. Of equal scores the first comes first.
    The masks are of one image.
    """
    if not masks:
        return []
    taken = np.zeros(masks[0].rle.size_hw, np.bool_)
    parted = []
    for number in np.argsort(-np.asarray(scores), kind="stable").tolist():
        mask = masks[number]
        free = mask.rle.decode() & ~taken
        free_px = int(free.sum())
        if free_px < _LEAST_FREE * mask.area_px:
            continue
        taken |= free
        parted.append(mask if free_px == mask.area_px else _cut(mask, CocoRle.from_mask(free)))
    return parted


def _cut(mask: ObjectMask, rle: CocoRle) -> ObjectMask:
    return replace(mask, rle=rle, bbox_xyxy=rle.bbox_xyxy, area_px=rle.area_px)
