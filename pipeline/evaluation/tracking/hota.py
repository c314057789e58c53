"""Measures tracks by HOTA: how well objects are found, and how well they are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.tracking.comparison import FrameComparison
from pipeline.evaluation.tracking.numbered_frames import NumberedFrames, number_frames
from schemas.overlaps import Overlaps

ALPHAS = np.arange(1, 20) / 20
"""Least similarities at which is measured, 0.05 to 0.95."""
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class HotaScores:
    """DetA and AssA at each of `ALPHAS`: float64 (19,)."""

    det_a_of: npt.NDArray[np.float64]
    ass_a_of: npt.NDArray[np.float64]

    @property
    def hota(self) -> float:
        return float(np.sqrt(self.det_a_of * self.ass_a_of).mean())

    @property
    def det_a(self) -> float:
        return float(self.det_a_of.mean())

    @property
    def ass_a(self) -> float:
        return float(self.ass_a_of.mean())


def measure_hota(frames: Sequence[FrameComparison]) -> HotaScores:
    """J. Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-object Tracking", 2020.

    Objects and tracks are matched once for all alphas, by similarity and by how far they agree over
    all frames. 0 where nothing is matched.
    """
    numbered = number_frames(frames)
    agreement = _measure_agreement(numbered)
    matched = np.zeros((len(ALPHAS), *agreement.shape))
    for frame in numbered.frames:
        scores = agreement[np.ix_(frame.true, frame.tracks)] * frame.similarity
        rows, columns = linear_sum_assignment(-scores)
        found = frame.similarity[rows, columns] >= ALPHAS[:, None] - _ROUNDING
        matched[:, frame.true[rows], frame.tracks[columns]] += found
    right = matched.sum(axis=(1, 2))
    total = numbered.true_total + numbered.track_total - right
    frames_of_both = numbered.true_frames[:, None] + numbered.track_frames
    share = matched / np.maximum(frames_of_both - matched, 1)
    return HotaScores(
        right / np.maximum(total, 1), (matched * share).sum(axis=(1, 2)) / np.maximum(right, 1)
    )


def _measure_agreement(numbered: NumberedFrames) -> Overlaps:
    """How far each object and each track agree over all frames: float64 (true, tracks), 0 to 1.

    A similarity counts for a pair as far as neither has another that is as similar.
    """
    common = numbered.make_table()
    for frame in numbered.frames:
        similarity = frame.similarity
        either = similarity.sum(axis=0)[None, :] + similarity.sum(axis=1)[:, None] - similarity
        share = np.divide(
            similarity, either, out=np.zeros_like(similarity), where=either > _ROUNDING
        )
        common[np.ix_(frame.true, frame.tracks)] += share
    frames_of_both = numbered.true_frames[:, None] + numbered.track_frames
    agreement: Overlaps = common / np.maximum(frames_of_both - common, 1)
    return agreement
