"""Puts a video together from its tracked pieces: whole shots, with tracks that go on in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.options import VideoOptions
from schemas.videos import Shot, ShotPart, Track, TrackedPiece
from workers.videos.growing_shot import GrowingShot
from workers.videos.link_tracks import link_tracks
from workers.videos.worth import keep_best_vectors

_FEWEST_SIGHTINGS = 2
_LEAST_MEAN_IOU = 0.55  # predicted, of a track's masks


def join_pieces(pieces: Iterable[TrackedPiece], options: VideoOptions) -> list[Shot]:
    """The shots of a video, from all of its pieces in their order.

    A piece is let go of before the next is asked for. The frame that two pieces share counts once:
    tracks whose masks show one object there are one. In each shot (`options.across_shots`: in the
    video) tracks that show one object at different times are linked. Then those of a single frame
    are dropped, but in shots that have no other, and those whose masks are mostly thought wrong.
    """
    shots: list[Shot] = []
    growing: GrowingShot | None = None
    for piece in pieces:
        for part, tracks in zip(piece.shots, piece.tracks, strict=True):
            if growing is not None and part is piece.shots[0]:
                growing.grow(part, tracks)
                continue
            if growing is not None:
                shots.append(growing.close())
            growing = GrowingShot(part, tracks)
    if growing is not None:
        shots.append(growing.close())
    return _finish_across(shots) if options.across_shots else [_finish(shot) for shot in shots]


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
