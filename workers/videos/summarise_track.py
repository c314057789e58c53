"""Sums up a track: when its object is to be seen, how large it is, and how fast it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from schemas.videos import Track
from workers.videos.motion import find_centre


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """`motion` is the mean speed of the middle of the box, in diagonals of the frame a second."""

    start_s: float
    end_s: float
    frame_count: int
    mean_area_frac: float
    motion: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def summarise_track(track: Track) -> TrackSummary:
    """The summary of a track. What it did while it was not seen is taken for straight on."""
    masks = [each.mask for each in track.sightings]
    way_px = sum(
        math.dist(find_centre(mask), find_centre(later)) for mask, later in pairwise(masks)
    )
    diagonals = way_px / math.hypot(*masks[0].rle.size_hw)
    duration_s = track.end_s - track.start_s
    return TrackSummary(
        track.start_s,
        track.end_s,
        len(masks),
        sum(mask.area_frac for mask in masks) / len(masks),
        diagonals / duration_s if duration_s else 0.0,
    )
