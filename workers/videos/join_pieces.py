"""Puts a video together from its tracked pieces: whole shots, with tracks that go on in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from schemas.options import VideoOptions
from schemas.overlaps import Overlaps, mask_ios, mask_iou
from schemas.records import Float32Vector
from schemas.videos import Shot, ShotPart, Track, TrackedPiece
from workers.videos.association import assign_pairs
from workers.videos.duplicates import SHARED
from workers.videos.link_tracks import concatenate_tracks, link_tracks
from workers.videos.worth import keep_best_vectors, make_unit

_FEWEST_SIGHTINGS = 2
_LEAST_MEAN_IOU = 0.55  # predicted, of a track's masks
_COSINE_WEIGHT = 0.5
_LEAST_SCORE = 1e-9  # those that share enough score more


def join_pieces(pieces: Iterable[TrackedPiece], options: VideoOptions) -> list[Shot]:
    """The shots of a video, from all of its pieces in their order.

    A piece is let go of before the next is asked for. The frame that two pieces share counts once:
    tracks whose masks show one object there are one. In each shot (`options.across_shots`: in the
    video) tracks that show one object at different times are linked. Then those of a single frame
    are dropped, but in shots that have no other, and those whose masks are mostly thought wrong.
    """
    shots: list[Shot] = []
    for piece in pieces:
        parts = [
            Shot(part, list(tracks)) for part, tracks in zip(piece.shots, piece.tracks, strict=True)
        ]
        if shots and parts:
            parts[0] = _join_shots(shots.pop(), parts[0])
        shots += parts
    return _finish_across(shots) if options.across_shots else [_finish(shot) for shot in shots]


def _join_shots(shot: Shot, later: Shot) -> Shot:
    """The shot and what the next piece has of it, which begins with the shot's last frame."""
    shared_s = later.part.times_s[0]
    ending, beginning = (
        [place for place, track in enumerate(side.tracks) if _shows(track, shared_s)]
        for side in (shot, later)
    )
    scores = _score_in_shared_frame(
        [shot.tracks[place] for place in ending], [later.tracks[place] for place in beginning]
    )
    tracks = list(shot.tracks)
    rest = dict(enumerate(later.tracks))
    for row, column in assign_pairs(scores, _LEAST_SCORE):
        place = ending[row]
        tracks[place] = _join_tracks(tracks[place], rest.pop(beginning[column]))
    for track in rest.values():
        without = _drop_first(track) if _shows(track, shared_s) else track
        if without is not None:
            tracks.append(without)
    return Shot(_join_parts(shot.part, later.part), tracks)


def _shows(track: Track, time_s: float) -> bool:
    return time_s in (track.start_s, track.end_s)


def _score_in_shared_frame(ending: Sequence[Track], beginning: Sequence[Track]) -> Overlaps:
    """How well tracks go on in one another: float64 (ending, beginning), 0: they do not."""
    if not ending or not beginning:
        return np.zeros((len(ending), len(beginning)))
    before = [track.sightings[-1].mask.rle for track in ending]
    after = [track.sightings[0].mask.rle for track in beginning]
    means = [
        np.stack([make_unit(track.vector_sum) for track in side]) for side in (ending, beginning)
    ]
    alike = (means[0] @ means[1].T).clip(0, 1)
    shares = mask_ios(before, after) > SHARED
    scores: Overlaps = np.where(shares, mask_iou(before, after) + _COSINE_WEIGHT * alike, 0)
    return scores


def _join_tracks(track: Track, later: Track) -> Track:
    """The track, going on in one whose first sighting is its own last one."""
    rest = _drop_first(later)
    if rest is None:
        return track
    joined = concatenate_tracks(track, rest)
    # The best frame of the later one may be the one that both show.
    best = max(track, later, key=lambda each: each.best.worth)
    return replace(joined, thumbnail=best.thumbnail)


def _drop_first(track: Track) -> Track | None:
    """The track without its first sighting, None if it has no other.

    Raises ValueError where it is not known how much of the sum of vectors that is.
    """
    first = track.sightings[0]
    if first.vector is None:
        raise ValueError(f"expected the vector of what a piece shows first, at {first.time_s} s")
    if len(track.sightings) == 1:
        return None
    return replace(track, sightings=track.sightings[1:], vector_sum=track.vector_sum - first.vector)


def _join_parts(part: ShotPart, later: ShotPart) -> ShotPart:
    """Both as one; the last frame of one is the first of the other."""
    total = part.vector_sum + later.vector_sum - _find_shared_vector(part, later)
    typical = max(part, later, key=lambda each: float(each.typical_vector @ total))
    return replace(typical, times_s=(*part.times_s, *later.times_s[1:]), vector_sum=total)


def _find_shared_vector(part: ShotPart, later: ShotPart) -> Float32Vector:
    """The vector of the frame that both have; the mean of the later one's where it is not kept."""
    shared_s = later.times_s[0]
    for each in (part, later):
        if len(each.times_s) == 1:
            return each.vector_sum
        if each.typical_s == shared_s:
            return each.typical_vector
    mean: Float32Vector = later.vector_sum / np.float32(len(later.times_s))
    return mean


def _finish(shot: Shot) -> Shot:
    kept = [_trim(track) for track in link_tracks(shot.tracks) if _is_sure(track, shot.part)]
    return Shot(shot.part, sorted(kept, key=_rank))


def _finish_across(shots: Sequence[Shot]) -> list[Shot]:
    """Shots with tracks that may go on in later ones; each is in the shot where it begins."""
    every = [track for shot in shots for track in shot.tracks]
    linked = sorted(link_tracks(every), key=_rank)
    finished = []
    for shot in shots:
        first_s, last_s = shot.part.times_s[0], shot.part.times_s[-1]
        kept = [
            _trim(track)
            for track in linked
            if first_s <= track.start_s <= last_s and _is_sure(track, shot.part)
        ]
        finished.append(Shot(shot.part, kept))
    return finished


def _trim(track: Track) -> Track:
    """The track without the vectors that only joining needs."""
    return replace(track, sightings=keep_best_vectors(track.sightings))


def _is_sure(track: Track, part: ShotPart) -> bool:
    """Whether a track shows something: it is seen often enough, and its masks may be right."""
    if len(track.sightings) < min(_FEWEST_SIGHTINGS, len(part.times_s)):
        return False
    told = [each.mask.predicted_iou for each in track.sightings]
    known = [iou for iou in told if iou is not None]
    return not known or sum(known) / len(known) >= _LEAST_MEAN_IOU


def _rank(track: Track) -> tuple[float, int]:
    """Earlier tracks first, then larger ones."""
    return track.start_s, -track.sightings[0].mask.area_px
