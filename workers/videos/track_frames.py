"""Follows objects through the frames of a shot, or of a piece of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.videos.association import (
    assign_pairs,
    score_by_colours,
    score_by_place_and_colours,
)
from workers.videos.duplicates import find_distinct
from workers.videos.open_track import OpenTrack
from workers.videos.seen_object import SeenObject

_LEAST_SCORE = 0.5  # of place and colours together
_FOLLOWED_S = 2.0  # for how long a lost object is looked for where it may have moved to
_AWAY_S = 3.0  # for how long it may come back anywhere
_ANY_SCORE = 1e-9
_ROUNDING_S = 1e-6


class _Frame:
    """The objects of a frame, and which of them no track has taken yet."""

    def __init__(self, time_s: float, since_s: float, objects: Sequence[SeenObject]) -> None:
        self.time_s, self.objects = time_s, objects
        self._since_s = since_s  # the frame before
        self.free = list(range(len(objects)))

    def find_seen(self, tracks: Sequence[OpenTrack], within_s: float) -> list[OpenTrack]:
        """Those that were seen so short a time ago, or in the frame before."""
        longest_s = max(within_s, self._since_s) + _ROUNDING_S
        return [track for track in tracks if self.time_s - track.motion.time_s <= longest_s]

    def give(self, place: int, track: OpenTrack) -> None:
        track.follow(self.objects[place])
        self.free.remove(place)


def track_frames(frames: Sequence[tuple[float, Sequence[SeenObject]]]) -> list[OpenTrack]:
    """The tracks of objects that were seen in frames of one shot, of any length.

    `frames` are times, in seconds, and what is in each; times rise. Tracks that were near go on
    with what is near and of their colours; then of masks that show one object one is left; then
    what was away comes back as what has its colours; the rest begin tracks. Tracks are in the order
    of their first frames. Nothing is embedded.
    """
    open_tracks: list[OpenTrack] = []
    every: list[OpenTrack] = []
    before_s = frames[0][0] if frames else 0.0
    for time_s, objects in frames:
        frame = _Frame(time_s, time_s - before_s, objects)
        before_s = time_s
        open_tracks = frame.find_seen(open_tracks, _AWAY_S)
        _follow_near(frame, open_tracks)
        taken = set(range(len(objects))).difference(frame.free)
        frame.free = find_distinct([seen.mask for seen in objects], taken)
        _bring_back(frame, open_tracks)
        begun = [OpenTrack(objects[place]) for place in frame.free]
        open_tracks += begun
        every += begun
    return every


def _follow_near(frame: _Frame, tracks: Sequence[OpenTrack]) -> None:
    near = frame.find_seen(tracks, _FOLLOWED_S)
    if not near or not frame.free:
        return
    scores = score_by_place_and_colours(
        [track.motion for track in near],
        np.stack([track.colours for track in near]),
        frame.time_s,
        [seen.mask for seen in frame.objects],
        [seen.patch for seen in frame.objects],
        np.stack([seen.colours for seen in frame.objects]),
    )
    for row, place in assign_pairs(scores, _LEAST_SCORE):
        frame.give(place, near[row])


def _bring_back(frame: _Frame, tracks: Sequence[OpenTrack]) -> None:
    lost = [track for track in tracks if track.motion.time_s < frame.time_s]
    if not lost or not frame.free:
        return
    free = [frame.objects[place] for place in frame.free]
    scores = score_by_colours(
        [track.motion for track in lost],
        np.stack([track.colours for track in lost]),
        [seen.mask for seen in free],
        np.stack([seen.colours for seen in free]),
    )
    places = list(frame.free)
    for row, column in assign_pairs(scores, _ANY_SCORE):
        frame.give(places[column], lost[row])
