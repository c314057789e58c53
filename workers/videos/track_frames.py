"""Follows objects through the frames of a shot, or of a piece of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.records import Float32Matrix, Float32Vector
from schemas.videos import FoundObject, Sighting, Track
from workers.videos.association import (
    assign_pairs,
    score_by_likeness,
    score_by_place_and_likeness,
)
from workers.videos.duplicates import find_distinct
from workers.videos.mask_patches import MaskPatch, cut_patch
from workers.videos.motion import Motion
from workers.videos.worth import keep_best_vectors, make_unit, measure_worth

_LEAST_SCORE = 0.5  # of place and likeness together
_FOLLOWED_S = 2.0  # for how long a lost object is looked for where it may have moved to
_AWAY_S = 3.0  # for how long it may come back anywhere
_ANY_SCORE = 1e-9
_ROUNDING_S = 1e-6


class _OpenTrack:
    """A track that may go on."""

    def __init__(self, time_s: float, found: FoundObject, patch: MaskPatch) -> None:
        self.sightings: list[Sighting] = []
        self.vector_sum = np.zeros_like(found.vector)
        self.motion = Motion(time_s, found.mask, patch)
        self._note(time_s, found)

    def follow(self, time_s: float, found: FoundObject, patch: MaskPatch) -> None:
        self.motion = self.motion.follow(time_s, found.mask, patch)
        self._note(time_s, found)

    def _note(self, time_s: float, found: FoundObject) -> None:
        worth = measure_worth(found.mask)
        self.sightings.append(Sighting(time_s, found.mask, worth, found.vector))
        self.vector_sum = self.vector_sum + found.vector

    @property
    def mean(self) -> Float32Vector:
        return make_unit(self.vector_sum)

    def close(self, first_s: float) -> Track:
        return Track(keep_best_vectors(self.sightings, first_s), self.vector_sum)


class _Frame:
    """The objects of a frame, and which of them no track has taken yet."""

    def __init__(self, time_s: float, since_s: float, objects: Sequence[FoundObject]) -> None:
        self.time_s, self.objects = time_s, objects
        self._since_s = since_s  # the frame before
        self.patches = [cut_patch(found.mask) for found in objects]
        self.free = list(range(len(objects)))

    def find_seen(self, tracks: Sequence[_OpenTrack], within_s: float) -> list[_OpenTrack]:
        """Those that were seen so short a time ago, or in the frame before."""
        longest_s = max(within_s, self._since_s) + _ROUNDING_S
        return [track for track in tracks if self.time_s - track.motion.time_s <= longest_s]

    def give(self, place: int, track: _OpenTrack) -> None:
        track.follow(self.time_s, self.objects[place], self.patches[place])
        self.free.remove(place)

    def stack_vectors(self) -> Float32Matrix:
        return np.stack([self.objects[place].vector for place in self.free])


def track_frames(frames: Sequence[tuple[float, Sequence[FoundObject]]]) -> tuple[Track, ...]:
    """The tracks of objects that were found in frames of one shot, of any length.

    `frames` are times, in seconds, and what is in each; times rise. Tracks that were near go on
    with what is near and alike; then of masks that show one object one is left; then what was away
    comes back as what is alike; the rest begin tracks. Tracks are in the order of their first
    frames. Vectors stay with the best few sightings and those of the first frame.
    """
    open_tracks: list[_OpenTrack] = []
    every: list[_OpenTrack] = []
    before_s = frames[0][0] if frames else 0.0
    for time_s, objects in frames:
        frame = _Frame(time_s, time_s - before_s, objects)
        before_s = time_s
        open_tracks = frame.find_seen(open_tracks, _AWAY_S)
        _follow_near(frame, open_tracks)
        taken = set(range(len(objects))).difference(frame.free)
        frame.free = find_distinct([found.mask for found in objects], taken)
        _bring_back(frame, open_tracks)
        begun = [_OpenTrack(time_s, objects[k], frame.patches[k]) for k in frame.free]
        open_tracks += begun
        every += begun
    return tuple(track.close(frames[0][0]) for track in every)


def _follow_near(frame: _Frame, tracks: Sequence[_OpenTrack]) -> None:
    near = frame.find_seen(tracks, _FOLLOWED_S)
    if not near or not frame.free:
        return
    scores = score_by_place_and_likeness(
        [track.motion for track in near],
        np.stack([track.mean for track in near]),
        frame.time_s,
        [found.mask for found in frame.objects],
        frame.patches,
        frame.stack_vectors(),
    )
    for row, place in assign_pairs(scores, _LEAST_SCORE):
        frame.give(place, near[row])


def _bring_back(frame: _Frame, tracks: Sequence[_OpenTrack]) -> None:
    lost = [track for track in tracks if track.motion.time_s < frame.time_s]
    if not lost or not frame.free:
        return
    scores = score_by_likeness(
        [track.motion for track in lost],
        np.stack([track.mean for track in lost]),
        [frame.objects[place].mask for place in frame.free],
        frame.stack_vectors(),
    )
    places = list(frame.free)
    for row, column in assign_pairs(scores, _ANY_SCORE):
        frame.give(places[column], lost[row])
