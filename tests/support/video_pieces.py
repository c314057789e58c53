"""Pieces of videos, as if read, segmented and tracked, from what is in their frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from support.drawn_tracks import track_found

from schemas.images import ImageRef
from schemas.videos import ShotPart, TrackedPiece, VideoInfo, VideoPiece

REF = ImageRef("s3", "b", "videos/1.mp4", "v", 1)


def track_pieces(frames, cuts_s=(), steps=None, size_hw=(480, 640)):
    """The pieces of `steps` frames each and one more; `frames` are (time, objects), None: one."""
    steps = steps or max(len(frames), 1)
    last = max(len(frames) - 2, 0) // steps
    for number in range(last + 1):
        part = frames[number * steps : (number + 1) * steps + 1]
        shots = [part[:1]]
        for (before_s, _), (time_s, found) in pairwise(part):
            if any(before_s < cut_s <= time_s for cut_s in cuts_s):
                shots.append([])
            shots[-1].append((time_s, found))
        yield TrackedPiece(
            VideoPiece(REF, number, steps),
            VideoInfo(size_hw),
            tuple(make_part(tuple(time_s for time_s, _ in shot)) for shot in shots),
            tuple(track_found(shot) for shot in shots),
            number == last,
        )


def frame_vector(time_s):
    """The unit vector of a whole frame: float32 (4,)."""
    vector = np.array([1, time_s, 0, 0], np.float32)
    return vector / np.linalg.norm(vector)


def make_part(times_s):
    vectors = np.array([frame_vector(time_s) for time_s in times_s])
    total = vectors.sum(axis=0)
    typical = int((vectors @ total).argmax())
    return ShotPart(tuple(times_s), total, times_s[typical], vectors[typical])
