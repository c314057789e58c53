"""Fits a scorer of points to what a model's own decoder finds; no labels are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from workers.segmenters.candidates import Crop
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.point_choice import Bools, Float64s
from workers.segmenters.point_scorer import PLACE, THRESHOLDS, PointScorer, gather_features

_EPOCHS, _BATCH = 30, 512


@dataclass(frozen=True, slots=True, eq=False)
class AskedPoints:
    """Features of n points, float16 (n, f), see `gather_features`; which yield, bool (n,)."""

    features: npt.NDArray[np.float16]
    yielding: Bools


def ask_points(segmenter: GridSegmenter, crop: Crop, points_xy: Float64s) -> AskedPoints:
    """Ask a segmenter at points of a crop of an image, float64 (n, 2), pixels of the crop."""
    view, yielding = segmenter.find_yielding(crop, points_xy)
    features = gather_features(view.embedding, crop, points_xy)
    return AskedPoints(features.half().cpu().numpy(), yielding)


def fit_scorer(
    features: Tensor, yielding: Tensor, thresholds: Mapping[str, float], seed: int = 0
) -> PointScorer:
    """Fit a scorer to float (n, f), see `gather_features`, and float (n,), by AdamW under a cosine.

    `thresholds` are those that masks had to pass, by the names of `THRESHOLDS`; `least_score` is
    left at 0. The same on every run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-6
        scorer = PointScorer((features.shape[1] - PLACE) // 2)
        _train(scorer, (features - mean) / deviation, yielding)
    with torch.no_grad():  # so that it takes features as they are
        scorer.hidden.weight.div_(deviation)
        scorer.hidden.bias.sub_(scorer.hidden.weight @ mean)
    for name in THRESHOLDS:
        getattr(scorer, name).fill_(thresholds[name])
    return scorer


def _train(scorer: PointScorer, inputs: Tensor, yielding: Tensor) -> None:
    weights = [*scorer.hidden.parameters(), *scorer.out.parameters()]
    optimizer = torch.optim.AdamW(weights, 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), _BATCH):
            logits = scorer(inputs[rows])
            loss: Tensor = nn.functional.binary_cross_entropy_with_logits(logits, yielding[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        schedule.step()
