"""Reads the outputs of mask classification: for each query classes by softmax, and a mask.

That is MaskFormer's kind: Mask2Former, OneFormer, EoMT. What becomes of the queries is as in
Mask2Former's `instance_inference`, `panoptic_inference` and `semantic_inference`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from schemas.masks import ObjectMask
from workers.segmenters.heads.class_map import ScoredPart, SemanticHead
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.enlarge import PlacedLogits, split_rows
from workers.segmenters.heads.regions import measure_regions
from workers.segmenters.heads.trace_logits import (
    keep_sure,
    label_masks,
    mean_inside,
    to_logit,
    trace_logits,
)

_ROUNDING = 1e-5  # of probabilities, far more than interpolating in float32 is off
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """What a model says of a frame: class_logits float (queries, classes + 1), the last: nothing.

    `masks` are float (queries, h, w).
    """

    class_logits: Tensor
    masks: PlacedLogits

    def rate(self) -> tuple[Tensor, Tensor]:
        """The likeliest class of each query, "nothing" among them, and its probability."""
        scores, numbers = self.class_logits.float().softmax(dim=1).max(dim=1)
        return scores, numbers

    def sum_classes(self, mask_logits: Tensor) -> Tensor:
        """Of float32 (rows, columns, queries) the sums over queries: (rows, columns, classes)."""
        probabilities = self.class_logits.float().softmax(dim=1)[:, :-1]
        return mask_logits.sigmoid() @ probabilities


@dataclass(frozen=True, slots=True)
class InstanceHead:
    """Every query that is a thing is an instance; they may overlap.

    Its score is the probability of its class times the mean probability inside of its mask, which
    are the pixels of the image above `mask_thresh`.
    """

    classes: Classes
    score_thresh: float
    mask_thresh: float

    def find(self, frames: Sequence[Queries]) -> list[ObjectMask]:
        """frames: one, of the whole image."""
        (queries,) = frames
        place, threshold = queries.masks.placement, to_logit(self.mask_thresh)
        probabilities = queries.class_logits.float().softmax(dim=1)[:, :-1]
        things = torch.from_numpy(~self.classes.is_stuff).to(probabilities.device)
        class_scores, numbers = (probabilities * things).max(dim=1)
        # No mean raises a score, so that most masks need not be looked at.
        likely = keep_sure(class_scores, self.score_thresh)
        logits = queries.masks.logits[likely]
        scores = class_scores[likely] * mean_inside(logits, place, threshold)
        kept = keep_sure(scores, self.score_thresh)
        rles = trace_logits(logits[kept], place, threshold)
        labels = [self.classes.names[number] for number in numbers[likely][kept].tolist()]
        return label_masks(rles, labels, scores[kept])

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "mask classification, instances 1",
            "classes": self.classes.describe(),
            "score_thresh": self.score_thresh,
            "mask_thresh": self.mask_thresh,
        }


@dataclass(frozen=True, slots=True)
class PanopticHead:
    """Every pixel belongs to one segment at most, that of the query with the highest product.

    That is of a query's score and its mask's probability there, among queries of `score_thresh`
    or more; it has the pixel if the mask alone is at least `mask_thresh` there. A query that wins
    less than `overlap_mask_area_threshold` of the pixels that its mask has above `mask_thresh` is
    dropped. Segments of a class of stuff become one, with the best of their scores.
    """

    classes: Classes
    score_thresh: float
    mask_thresh: float
    overlap_mask_area_threshold: float

    def find(self, frames: Sequence[Queries]) -> list[ObjectMask]:
        """frames: one, of the whole image."""
        (queries,) = frames
        scores, numbers = queries.rate()
        is_class = numbers < len(self.classes.names)
        kept = keep_sure(scores * is_class, self.score_thresh)
        kept = kept[is_class[kept]]
        if not len(kept):
            return []
        masks = PlacedLogits(queries.masks.logits[kept], queries.masks.placement)
        won, areas = assign_pixels(masks, scores[kept], self.mask_thresh)
        return self._find_segments(won, areas, scores[kept].tolist(), numbers[kept].tolist())

    def _find_segments(
        self, won: Int32s, areas: MaskAreas, scores: list[float], numbers: list[int]
    ) -> list[ObjectMask]:
        stays = areas.won >= self.overlap_mask_area_threshold * areas.whole
        # One that is nowhere sure where it wins has no pixel, and no say in the score of stuff.
        stays &= np.bincount(won.ravel() % (len(scores) + 1), minlength=len(scores) + 1)[:-1] > 0
        segments = np.full(len(scores) + 1, -1, np.int32)  # the last is where nobody has won
        best: list[tuple[float, int]] = []
        of_stuff: dict[int, int] = {}
        for query in np.flatnonzero(stays).tolist():
            number = numbers[query]
            segment = of_stuff.get(number, len(best))
            if segment == len(best):
                best.append((0.0, number))
            if number in (self.classes.stuff or ()):
                of_stuff[number] = segment
            segments[query] = segment
            best[segment] = max(best[segment], (scores[query], number))
        regions = measure_regions(segments[won], len(best), np.zeros(won.shape, np.float32))
        there = np.flatnonzero(regions.areas).tolist()
        return label_masks(
            [regions.encode(segment) for segment in there],
            [self.classes.names[best[segment][1]] for segment in there],
            torch.tensor([best[segment][0] for segment in there]),
        )

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "mask classification, panoptic 2",
            "classes": self.classes.describe(),
            "score_thresh": self.score_thresh,
            "mask_thresh": self.mask_thresh,
            "overlap_mask_area_threshold": self.overlap_mask_area_threshold,
        }


@dataclass(frozen=True, slots=True, eq=False)
class MaskAreas:
    """int64 (n,): the pixels at which each mask wins, sure enough or not, and those of its own."""

    won: Int64s
    whole: Int64s


class RowBounds:
    """Tells which masks of float32 (n, h, w) can win a pixel of some rows, or have it as their own.

    In most rows of an image most masks can do neither. What is interpolated lies between its
    neighbours, so that their highest and their lowest bound it.
    """

    def __init__(self, logits: Tensor, scores: Tensor, mask_thresh: float) -> None:
        self._probabilities = logits.float().sigmoid()
        self._scores, self._threshold = scores[:, None], mask_thresh - _ROUNDING
        self._chosen: dict[tuple[int, int], Tensor] = {}

    def choose(self, first: int, last: int) -> Tensor:
        """The masks for pixels between rows of the logits, both included: int64, one or more."""
        rows = first, last
        if rows not in self._chosen:
            window = self._probabilities[:, first : last + 1]
            high = _join_neighbours(window.amax(dim=1), torch.maximum)
            low = _join_neighbours(window.amin(dim=1), torch.minimum)
            surely = (low * self._scores).amax(dim=0) - _ROUNDING
            wins = (high * self._scores >= surely).any(dim=1)
            self._chosen[rows] = torch.nonzero(wins | (high >= self._threshold).any(dim=1))[:, 0]
        return self._chosen[rows]


def _join_neighbours(columns: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Of (n, w) each two columns that stand side by side, which a pixel may lie between."""
    return join(columns[:, :-1], columns[:, 1:]) if columns.shape[1] > 1 else columns


def assign_pixels(
    masks: PlacedLogits, scores: Tensor, mask_thresh: float
) -> tuple[Int32s, MaskAreas]:
    """The mask that has each pixel, int32 (height, width), -1: none; and areas.

    scores float32 (n,), of the masks.
    """
    size_hw, count = masks.placement.size_hw, len(masks.logits)
    winners = np.empty(size_hw, np.int32)
    won, whole = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
    in_question = RowBounds(masks.logits, scores, mask_thresh)
    for top, bottom in split_rows(size_hw, count):
        chosen = in_question.choose(*masks.find_rows(top, bottom))
        strip = masks.enlarge(top, bottom, chosen)
        assert strip is not None  # the only frame covers the image
        probabilities = strip.logits.sigmoid()
        best = (probabilities * scores[chosen]).argmax(dim=2, keepdim=True)
        inside = probabilities >= mask_thresh
        there = chosen.cpu()
        # Sums of floats are ten times as fast, and exact up to 2^24 pixels of a strip.
        whole[there] += inside.flatten(0, 1).float().sum(dim=0).long().cpu()
        won[there] += torch.bincount(best.flatten(), minlength=len(chosen)).cpu()
        sure = inside.gather(2, best)[:, :, 0]
        winners[top:bottom] = torch.where(sure, chosen[best[:, :, 0]], -1).cpu().numpy()
    return winners, MaskAreas(won.numpy(), whole.numpy())


@dataclass(frozen=True, slots=True)
class MaskSemanticHead:
    """Every pixel gets the class with the highest sum, over queries, of the products of the class'
    probability and the mask's there; objects are made of that as `SemanticHead` does.
    """

    semantic: SemanticHead

    def find(self, frames: Sequence[Queries]) -> list[ObjectMask]:
        """frames: those that cover the image together, one or several that overlap."""
        return self.semantic.find_in([ScoredPart(part.masks, part.sum_classes) for part in frames])

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {**self.semantic.describe(), "head": "mask classification, class map 1"}
