"""Follows objects through the frames of a shot, or of a piece of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.videos import FoundObject, Track
from workers.videos.association import (
    assign_pairs,
    score_by_likeness,
    score_by_place_and_likeness,
)
from workers.videos.carried_masks import follow_carried, keep_missed
from workers.videos.duplicates import find_distinct
from workers.videos.open_tracks import Frame, OpenTrack
from workers.videos.propagator import CarriedMask, MaskCarrier

_LEAST_SCORE = 0.5  # of place and likeness together
_FOLLOWED_S = 2.0  # for how long a lost object is looked for where it may have moved to
_AWAY_S = 3.0  # for how long it may come back anywhere
_ANY_SCORE = 1e-9


def track_frames(
    frames: Sequence[tuple[float, Sequence[FoundObject]]], carrier: MaskCarrier | None = None
) -> tuple[Track, ...]:
    """The tracks of objects that were found in frames of one shot, of any length.

    `frames` are times, in seconds, and what is in each; times rise. Tracks that were near go on
    with what is near and alike; then of masks that show one object one is left; then what was away
    comes back as what is alike; the rest begin tracks. Tracks are in the order of their first
    frames. Vectors stay with the best few sightings and those of the first frame.

    With a `carrier`, of the same frames, tracks go on first with what was found where their masks
    were carried to, and before anything comes back those that were missed go on as carried.
    """
    open_tracks: list[OpenTrack] = []
    every: list[OpenTrack] = []
    before_s = frames[0][0] if frames else 0.0
    for number, (time_s, objects) in enumerate(frames):
        frame = Frame(time_s, time_s - before_s, objects)
        open_tracks = frame.find_seen(open_tracks, _AWAY_S)
        carried = _carry(carrier, open_tracks, before_s) if number else {}
        before_s = time_s
        follow_carried(frame, open_tracks, carried)
        _follow_near(frame, open_tracks)
        taken = set(range(len(objects))).difference(frame.free)
        frame.free = find_distinct([found.mask for found in objects], taken)
        keep_missed(frame, open_tracks, carried)
        _bring_back(frame, open_tracks)
        begun = [
            OpenTrack(len(every) + k, time_s, objects[place], frame.patches[place])
            for k, place in enumerate(frame.free)
        ]
        open_tracks += begun
        every += begun
    return tuple(track.close(frames[0][0]) for track in every)


def _carry(
    carrier: MaskCarrier | None, tracks: Sequence[OpenTrack], before_s: float
) -> dict[int, CarriedMask]:
    if carrier is None:
        return {}
    return carrier.carry({track.number: track.find_mask(before_s) for track in tracks})


def _follow_near(frame: Frame, tracks: Sequence[OpenTrack]) -> None:
    near = frame.find_waiting(frame.find_seen(tracks, _FOLLOWED_S))
    if not near or not frame.free:
        return
    places = list(frame.free)
    scores = score_by_place_and_likeness(
        [track.motion for track in near],
        np.stack([track.mean for track in near]),
        frame.time_s,
        [frame.objects[place].mask for place in places],
        [frame.patches[place] for place in places],
        frame.stack_vectors(),
    )
    for row, column in assign_pairs(scores, _LEAST_SCORE):
        frame.give(places[column], near[row])


def _bring_back(frame: Frame, tracks: Sequence[OpenTrack]) -> None:
    lost = frame.find_waiting(tracks)
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
