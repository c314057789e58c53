"""Measures tracks by MOTA and by how often a true object's track changes, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.tracking.comparison import MATCH_IOU, FrameComparison
from pipeline.evaluation.tracking.numbered_frames import NumberedFrame, Places, number_frames

_NO_TRACK = -1
_KEEPS_PARTNER = 1000.0  # more than all similarities of a frame
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class ClearScores:
    """CLEAR MOT's counts of masks, once for each frame, and of `switches` of tracks."""

    true_positives: int
    false_positives: int
    false_negatives: int
    switches: int

    @property
    def mota(self) -> float:
        """1 at best, below 0 where more is wrong than there is to be found."""
        total = self.true_positives + self.false_negatives
        return (self.true_positives - self.false_positives - self.switches) / max(total, 1)

    @property
    def recall(self) -> float:
        return self.true_positives / max(self.true_positives + self.false_negatives, 1)


def measure_clear(frames: Sequence[FrameComparison], least: float = MATCH_IOU) -> ClearScores:
    """K. Bernardin and R. Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008.

    In a frame, objects keep the tracks that they had in the last one that has both objects and
    tracks, where these have a similarity of `least` or more; the others are matched by the highest
    sum of similarities. Of this are TrackEval's figures.
    """
    numbered = number_frames(frames)
    last = np.full(len(numbered.true_frames), _NO_TRACK, np.int64)
    partners = last.copy()
    right = switches = 0
    for frame in numbered.frames:
        if not frame.similarity.size:
            continue
        rows, columns = _match(frame, partners, least)
        true, tracks = frame.true[rows], frame.tracks[columns]
        switches += int(((last[true] != _NO_TRACK) & (last[true] != tracks)).sum())
        right += len(true)
        partners[:] = _NO_TRACK
        partners[true] = last[true] = tracks
    return ClearScores(right, numbered.track_total - right, numbered.true_total - right, switches)


def _match(frame: NumberedFrame, partners: Places, least: float) -> tuple[Places, Places]:
    keeps = partners[frame.true][:, None] == frame.tracks
    scores = frame.similarity + _KEEPS_PARTNER * keeps
    scores[frame.similarity < least - _ROUNDING] = 0
    rows, columns = linear_sum_assignment(-scores)
    is_match = scores[rows, columns] > _ROUNDING
    return rows[is_match], columns[is_match]
