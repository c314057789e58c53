"""Traces the masks of single objects from their logits, as large as their image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from schemas.masks import CocoRle, ObjectMask
from workers.segmenters.masks.choose_tracer import choose_tracer
from workers.segmenters.masks.tracer import Frame
from workers.segmenters.placement import Placement, make_axis

_LEAST_SIDE = 3
_OUTSIDE = -1e9


def to_logit(probability: float) -> float:
    """What its sigmoid is `probability`; 0 and 1 are as far as float32 goes."""
    if probability <= 0 or probability >= 1:
        return math.copysign(_OUTSIDE, probability - 0.5)
    return math.log(probability / (1 - probability))


def trace_logits(logits: Tensor, placement: Placement, threshold: float) -> list[CocoRle]:
    """The masks of float32 (n, h, w), each interpolated to the image and above `threshold`."""
    height, width = placement.size_hw
    if not len(logits):
        return []
    rows, columns = placement.sample((logits.shape[1], logits.shape[2]))
    side = max(logits.shape[1], logits.shape[2], _LEAST_SIDE)
    # Tracers take squares; what is added is no pixel's logit.
    missing = (0, side - logits.shape[2], 0, side - logits.shape[1])
    square = pad(logits.float(), missing, value=_OUTSIDE).contiguous()
    frame = Frame((height, width), 0, 0, (height, width))
    axes = make_axis(rows, side), make_axis(columns, side)
    tracer = choose_tracer(logits.device)(*axes, frame, threshold, 0.0)
    tracer.add(square)
    return [CocoRle((height, width), counts) for counts in tracer.finish().counts]


def label_masks(
    rles: Sequence[CocoRle], labels: Sequence[str | None], scores: Tensor
) -> list[ObjectMask]:
    """The objects of masks, but for the empty ones, with what they are called and how surely."""
    measured = (
        ObjectMask.measure(rle, segmenter_label=label, segmenter_score=min(score, 1.0))
        for rle, label, score in zip(rles, labels, scores.tolist(), strict=True)
    )
    return [mask for mask in measured if mask is not None]


def mean_inside(logits: Tensor, placement: Placement, threshold: float) -> Tensor:
    """The mean probability of each mask of float32 (n, h, w) inside of it: float32 (n,).

    At the places of its logits, and 0 where none is inside.
    """
    height, width = placement.used_logits((logits.shape[1], logits.shape[2]))
    used = logits[:, :height, :width].float().flatten(1)
    inside = used > threshold
    return (used.sigmoid() * inside).sum(1) / inside.sum(1).clamp(min=1)


def keep_sure(scores: Tensor, threshold: float) -> Tensor:
    """Which of float32 (n,) are at least `threshold`: int64, in their order."""
    return torch.nonzero(scores >= threshold)[:, 0]
