"""Measures tracks by IDF1: how far each true object has one track, over all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.tracking.comparison import MATCH_IOU, FrameComparison
from pipeline.evaluation.tracking.numbered_frames import number_frames


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """Of masks, once for each frame: those of the one track that is an object's, and the others."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def idf1(self) -> float:
        """0 where there is neither truth nor track."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 0.0


def measure_identity(frames: Sequence[FrameComparison], least: float = MATCH_IOU) -> IdentityScores:
    """E. Ristani et al., "Performance Measures and a Data Set for Multi-Target Tracking", 2016.

    Of all ways to give each true object one track, that which makes most masks right, of a
    similarity of `least` or more.
    """
    numbered = number_frames(frames)
    agreed = numbered.make_table()
    for frame in numbered.frames:
        rows, columns = np.nonzero(frame.similarity >= least)
        agreed[frame.true[rows], frame.tracks[columns]] += 1
    rows, columns = linear_sum_assignment(-agreed)
    right = int(agreed[rows, columns].sum())
    return IdentityScores(right, numbered.track_total - right, numbered.true_total - right)
