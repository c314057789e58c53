"""Masks of boxes: one for each, which stand before what points find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from schemas.boxes import BoxXyxy
from schemas.masks import BoolMask, ObjectMask
from schemas.overlaps import mask_iou
from workers.segmenters.candidates import Crop
from workers.segmenters.masks.selection import order_by_size
from workers.segmenters.masks.tracer import Tracer
from workers.segmenters.point_choice import Bools, Float32s, Float64s
from workers.segmenters.sam_prompter import View


def trace_boxes(
    view: View, boxes: Sequence[BoxXyxy], batch: int, tracer: Tracer
) -> tuple[Float32s, Float64s]:
    """Have the surest of the model's masks for each box traced.

    `batch` at once, fewer where the device has no room for so many. Its predicted IoU, float32
    (n,), and the middle of the box, float64 (n, 2). It is what `SamPredictor` gives for a box with
    several masks, by its highest score.
    """
    boxes_xyxy = np.array(boxes, np.float64).reshape(-1, 4)
    scores = [np.empty(0, np.float32)]
    start = 0
    while start < len(boxes_xyxy):
        part = boxes_xyxy[start : start + batch]
        try:
            scores.append(_trace_surest(view, part, tracer))
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
            batch = (len(part) + 1) // 2
            continue
        start += len(part)
    return np.concatenate(scores), (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2


def _trace_surest(view: View, boxes_xyxy: Float64s, tracer: Tracer) -> Float32s:
    """Where this raises, nothing has been traced."""
    guesses = view.guess(boxes_xyxy)
    best = guesses.predicted_iou.argmax(axis=1)
    chosen = np.zeros(guesses.predicted_iou.shape, np.bool_)
    chosen[np.arange(len(best)), best] = True
    tracer.add(guesses.logits(chosen))
    scores: Float32s = guesses.predicted_iou[chosen]
    return scores


def unite(masks: Sequence[ObjectMask], size_hw: tuple[int, int]) -> BoolMask:
    """What any of the masks covers of an image: bool (height, width), at least their size."""
    covered = np.zeros(size_hw, np.bool_)
    for mask in masks:
        height, width = mask.rle.size_hw
        covered[:height, :width] |= mask.rle.decode()
    return covered


def find_uncovered(covered: BoolMask, crop: Crop, points_xy: Float64s) -> Bools:
    """Which points of a crop, float64 (n, 2) in its pixels, nothing covers: bool (n,)."""
    x, y = np.floor(points_xy + crop.box[:2]).astype(np.int64).T
    uncovered: Bools = ~covered[y, x]
    return uncovered


def put_first(
    in_boxes: Sequence[ObjectMask], others: Sequence[ObjectMask], most_iou: float, most: int
) -> list[ObjectMask]:
    """All masks of boxes, and of the others those unlike them, the surest; largest first.

    Of others, as far as there are no more than `most` in all, those stay that have an IoU of at
    most `most_iou` with every mask of a box.
    """
    overlaps = mask_iou([mask.rle for mask in others], [mask.rle for mask in in_boxes])
    is_new = overlaps.max(axis=1, initial=0.0) <= most_iou
    new = [mask for mask, wanted in zip(others, is_new.tolist(), strict=True) if wanted]
    new.sort(key=lambda mask: -mask.sureness)
    kept = [*in_boxes, *new[: max(most - len(in_boxes), 0)]]
    return sorted(kept, key=order_by_size)
