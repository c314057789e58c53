"""Tracks and truths of chance, as tables of similarities, and squares that move."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.tracking.comparison import FrameComparison
from schemas.masks import CocoRle, ObjectMask
from schemas.videos import FoundObject

SIZE_HW = (60, 80)


def draw_comparisons(rng, frames=12, objects=6, tracks=8):
    """Frames in which most objects have a favourite track; some are empty on a side."""
    favourite = rng.permutation(tracks)[:objects]
    drawn = []
    for _ in range(frames):
        true = np.flatnonzero(rng.random(objects) < rng.choice([0.0, 0.7, 0.9]))
        found = np.flatnonzero(rng.random(tracks) < rng.choice([0.0, 0.7, 0.9]))
        similarity = rng.random((len(true), len(found))) * 0.6
        is_own = favourite[true][:, None] == found
        similarity = np.where(is_own & (rng.random(similarity.shape) < 0.8), 0.9, similarity)
        similarity[rng.random(similarity.shape) < 0.3] = 0
        # Some lie just at a threshold.
        similarity = np.where(rng.random(similarity.shape) < 0.2, 0.5, similarity)
        drawn.append(FrameComparison(true.tolist(), found.tolist(), similarity))
    return drawn


def separate_pairs(frames):
    """Such frames without a choice: no two are like a third."""
    separate = []
    for frame in frames:
        similarity = frame.similarity.copy()
        for row, column in np.argwhere(similarity >= 0.5):
            if similarity[row, column] >= 0.5:
                best = similarity[row, column]
                similarity[row] = similarity[row].clip(max=0.4)
                similarity[:, column] = similarity[:, column].clip(max=0.4)
                similarity[row, column] = best
        separate.append(FrameComparison(frame.true_ids, frame.track_ids, similarity))
    return separate


def list_for_motrics(frames):
    """The ids and similarities of frames, as lists."""
    return (
        [list(frame.true_ids) for frame in frames],
        [list(frame.track_ids) for frame in frames],
        [frame.similarity.tolist() for frame in frames],
    )


def draw_square(x, y, side=10, size_hw=SIZE_HW, sure=0.9):
    """The mask of a square with its upper left corner at (x, y), clipped to the frame."""
    mask = np.zeros(size_hw, np.bool_)
    mask[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = True
    drawn = ObjectMask.measure(CocoRle.from_mask(mask), predicted_iou=sure, stability_score=0.9)
    assert drawn is not None
    return drawn


def make_vector(*numbers):
    """A unit vector, float32 (8,), of these numbers and zeros."""
    vector = np.zeros(8, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def find_square(x, y, vector, side=10, size_hw=SIZE_HW, sure=0.9):
    return FoundObject(draw_square(x, y, side, size_hw, sure), vector)
