"""Tracks and truths of chance, as tables of similarities, and squares that move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.tracking.comparison import FrameComparison
from schemas.masks import CocoRle, ObjectMask
from schemas.records import Float32Vector
from workers.videos.mask_patches import cut_patch
from workers.videos.open_track import embed_best
from workers.videos.seen_object import SeenObject
from workers.videos.track_frames import track_frames
from workers.videos.worth import measure_worth

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


@dataclass(frozen=True, eq=False)
class FoundObject:
    """A mask, its vector when it is embedded, and its colours; None: they are as the vector is."""

    mask: ObjectMask
    vector: Float32Vector
    colours: Float32Vector | None = None

    def see(self, time_s):
        colours = self.vector if self.colours is None else self.colours
        worth = measure_worth(self.mask)
        return SeenObject(time_s, self.mask, cut_patch(self.mask), colours, worth)


def find_square(x, y, vector, side=10, size_hw=SIZE_HW, sure=0.9, colours=None):
    return FoundObject(draw_square(x, y, side, size_hw, sure), vector, colours)


def track_found(frames, embedded=None, carrier=None):
    """The tracks of frames, (time, objects) each; what is embedded is added to that list."""
    vectors = {id(found.mask): found.vector for _, objects in frames for found in objects}

    def embed(masks):
        if embedded is not None:
            embedded.extend(masks)
        return np.array([vectors[id(mask)] for _, mask in masks], np.float32)

    seen = [(time_s, [found.see(time_s) for found in objects]) for time_s, objects in frames]
    tracks = track_frames(seen, carrier)
    embed_best(tracks, embed)
    return tuple(track.close() for track in tracks)
