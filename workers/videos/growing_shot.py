"""A shot that grows by what pieces have of it, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.overlaps import Overlaps, mask_ios, mask_iou
from schemas.records import Float32Vector
from schemas.videos import Shot, ShotPart, Sighting, Track
from workers.videos.association import assign_pairs
from workers.videos.duplicates import SHARED
from workers.videos.worth import BEST_FRAMES, make_unit

_COSINE_WEIGHT = 0.5
_LEAST_SCORE = 1e-9  # those that share enough score more


class GrowingTrack:
    """A track that goes on from piece to piece."""

    def __init__(self, track: Track) -> None:
        self.sightings = list(track.sightings)
        self.vector_sum = track.vector_sum
        self._best, self._thumbnail = track.best, track.thumbnail
        self._vector_places = self._find_vectors(0)

    @property
    def end_s(self) -> float:
        return self.sightings[-1].time_s

    def follow(self, later: Track) -> None:
        """Go on in a track whose first sighting is the last one of this."""
        added = len(self.sightings)
        self.sightings += later.sightings[1:]
        self.vector_sum = self.vector_sum + later.vector_sum - _find_first_vector(later)
        if later.best.worth > self._best.worth:
            self._best, self._thumbnail = later.best, later.thumbnail
        self._vector_places += self._find_vectors(added)
        self._keep_best_vectors()

    def close(self) -> Track:
        return Track(tuple(self.sightings), self.vector_sum, self._thumbnail)

    def _find_vectors(self, start: int) -> list[int]:
        added = enumerate(self.sightings[start:], start)
        return [place for place, each in added if each.vector is not None]

    def _keep_best_vectors(self) -> None:
        # Only what has a vector is looked at: a track may be seen in any number of frames.
        ranked = sorted(
            self._vector_places, key=lambda place: (-self.sightings[place].worth, place)
        )
        for place in ranked[BEST_FRAMES:]:
            self.sightings[place] = replace(self.sightings[place], vector=None)
        self._vector_places = sorted(ranked[:BEST_FRAMES])


class GrowingShot:
    """A shot of which more pieces may tell; each begins with the last frame of the one before."""

    def __init__(self, part: ShotPart, tracks: Sequence[Track]) -> None:
        self._part = replace(part, times_s=())
        self._times = list(part.times_s)
        self._tracks = [GrowingTrack(track) for track in tracks]
        self._recent = self._tracks

    def grow(self, part: ShotPart, tracks: Sequence[Track]) -> None:
        """Add the next piece's part. Tracks whose masks show one object in both are one."""
        shared_s = part.times_s[0]
        ending = [track for track in self._recent if track.end_s == shared_s]
        beginning = [place for place, track in enumerate(tracks) if track.start_s == shared_s]
        scores = _score_in_shared_frame(
            [track.sightings[-1] for track in ending],
            [track.vector_sum for track in ending],
            [tracks[place] for place in beginning],
        )
        followed = set()
        for row, column in assign_pairs(scores, _LEAST_SCORE):
            ending[row].follow(tracks[beginning[column]])
            followed.add(beginning[column])
        rest = [track for place, track in enumerate(tracks) if place not in followed]
        kept = [_drop_first(track) if track.start_s == shared_s else track for track in rest]
        begun = [GrowingTrack(track) for track in kept if track is not None]
        self._tracks += begun
        self._recent = [*ending, *begun]
        self._part = _join_parts(self._part, len(self._times), part)
        self._times += part.times_s[1:]

    def close(self) -> Shot:
        part = replace(self._part, times_s=tuple(self._times))
        return Shot(part, [track.close() for track in self._tracks])


def _score_in_shared_frame(
    last: Sequence[Sighting], sums: Sequence[Float32Vector], beginning: Sequence[Track]
) -> Overlaps:
    """How well tracks go on in others: float64 (last, beginning), 0: they do not.

    `last` are their last sightings, `sums` the sums of their vectors.
    """
    if not last or not beginning:
        return np.zeros((len(last), len(beginning)))
    before = [each.mask.rle for each in last]
    after = [track.sightings[0].mask.rle for track in beginning]
    means = np.stack([make_unit(total) for total in sums])
    later_means = np.stack([make_unit(track.vector_sum) for track in beginning])
    alike = (means @ later_means.T).clip(0, 1)
    shares = mask_ios(before, after) > SHARED
    scores: Overlaps = np.where(shares, mask_iou(before, after) + _COSINE_WEIGHT * alike, 0)
    return scores


def _drop_first(track: Track) -> Track | None:
    """The track without its first sighting, None if it has no other."""
    if len(track.sightings) == 1:
        return None
    vector_sum = track.vector_sum - _find_first_vector(track)
    return replace(track, sightings=track.sightings[1:], vector_sum=vector_sum)


def _find_first_vector(track: Track) -> Float32Vector:
    """What the first sighting has added to the sum: nothing if it was not embedded."""
    first = track.sightings[0].vector
    return np.zeros_like(track.vector_sum) if first is None else first


def _join_parts(part: ShotPart, frame_count: int, later: ShotPart) -> ShotPart:
    """Both as one without times; the last of the `frame_count` frames of one is the other's first.

    The sum of vectors counts it once: exactly where its vector is known, else by the mean.
    """
    shared_s = later.times_s[0]
    if frame_count == 1:
        shared = part.vector_sum
    elif len(later.times_s) == 1:
        shared = later.vector_sum
    elif shared_s in (part.typical_s, later.typical_s):
        shared = (part if part.typical_s == shared_s else later).typical_vector
    else:
        shared = later.vector_sum / np.float32(len(later.times_s))
    total: Float32Vector = part.vector_sum + later.vector_sum - shared
    typical = max(part, later, key=lambda each: float(each.typical_vector @ total))
    return replace(typical, times_s=(), vector_sum=total)
