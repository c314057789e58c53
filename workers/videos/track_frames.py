"""Follows objects through the frames of a shot, or of a piece of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.videos.association import (
    assign_pairs,
    score_by_colours,
    score_by_place_and_colours,
)
from workers.videos.carried_masks import follow_carried, keep_missed
from workers.videos.duplicates import find_distinct
from workers.videos.open_frame import OpenFrame
from workers.videos.open_track import OpenTrack
from workers.videos.propagator import CarriedMask, MaskCarrier
from workers.videos.seen_object import SeenObject

_LEAST_SCORE = 0.5  # of place and colours together
_FOLLOWED_S = 2.0  # for how long a lost object is looked for where it may have moved to
_AWAY_S = 3.0  # for how long it may come back anywhere
_ANY_SCORE = 1e-9


def track_frames(
    frames: Sequence[tuple[float, Sequence[SeenObject]]], carrier: MaskCarrier | None = None
) -> list[OpenTrack]:
    """The tracks of objects that were seen in frames of one shot, of any length.

    `frames` are times, in seconds, and what is in each; times rise. Tracks that were near go on
    with what is near and of their colours; then of masks that show one object one is left; then
    what was away comes back as what has its colours; the rest begin tracks. Tracks are in the order
    of their first frames. Nothing is embedded.

    With a `carrier`, of the same frames, tracks go on first with what was found where their masks
    were carried to, and before anything comes back those that were missed go on as carried.
    """
    open_tracks: list[OpenTrack] = []
    every: list[OpenTrack] = []
    before_s = frames[0][0] if frames else 0.0
    for number, (time_s, objects) in enumerate(frames):
        frame = OpenFrame(time_s, time_s - before_s, objects)
        open_tracks = frame.find_seen(open_tracks, _AWAY_S)
        carried = _carry(carrier, open_tracks, before_s) if number else {}
        before_s = time_s
        follow_carried(frame, open_tracks, carried)
        _follow_near(frame, open_tracks)
        taken = set(range(len(objects))).difference(frame.free)
        frame.free = find_distinct([seen.mask for seen in objects], taken)
        keep_missed(frame, open_tracks, carried)
        _bring_back(frame, open_tracks)
        begun = [OpenTrack(len(every) + k, objects[at]) for k, at in enumerate(frame.free)]
        open_tracks += begun
        every += begun
    return every


def _carry(
    carrier: MaskCarrier | None, tracks: Sequence[OpenTrack], before_s: float
) -> dict[int, CarriedMask]:
    if carrier is None:
        return {}
    return carrier.carry({track.number: track.find_mask(before_s) for track in tracks})


def _follow_near(frame: OpenFrame, tracks: Sequence[OpenTrack]) -> None:
    near = frame.find_waiting(frame.find_seen(tracks, _FOLLOWED_S))
    if not near or not frame.free:
        return
    places = list(frame.free)
    free = [frame.objects[place] for place in places]
    scores, overlaps = score_by_place_and_colours(
        [track.motion for track in near],
        np.stack([track.colours for track in near]),
        frame.time_s,
        [seen.mask for seen in free],
        [seen.patch for seen in free],
        np.stack([seen.colours for seen in free]),
    )
    # First by place: else two that go on by their colours alone would count for more than one that
    # stays where it is.
    for row, column in assign_pairs(np.where(overlaps, scores, 0), _LEAST_SCORE):
        frame.give(places[column], near[row])
        scores[row], scores[:, column] = 0, 0
    for row, column in assign_pairs(scores, _LEAST_SCORE):
        frame.give(places[column], near[row])


def _bring_back(frame: OpenFrame, tracks: Sequence[OpenTrack]) -> None:
    lost = frame.find_waiting(tracks)
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
