"""Links tracks that show one object at different times, as when it was away for long."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from schemas.videos import Track
from workers.videos.worth import keep_best_vectors, make_unit

_LEAST_COSINE = 0.65  # of the means of both
_LONGEST_GAP_S = 10.0


def link_tracks(tracks: Sequence[Track]) -> list[Track]:
    """The tracks, those linked that follow one another and are alike, the most alike first.

    A track goes on in another that begins after its end, up to 10 s later.
    """
    linked: dict[int, Track] = dict(enumerate(tracks))
    means = {number: make_unit(track.vector_sum) for number, track in linked.items()}
    candidates = list(_find_candidates(tracks))
    heapq.heapify(candidates)
    while candidates:
        _, first, second = heapq.heappop(candidates)
        if first not in linked or second not in linked:
            continue
        number = len(means)
        linked[number] = track = concatenate_tracks(linked.pop(first), linked.pop(second))
        means[number] = make_unit(track.vector_sum)
        for other, another in linked.items():
            if other == number:
                continue
            cosine = float(means[number] @ means[other])
            if cosine < _LEAST_COSINE:
                continue
            if _may_follow(track, another):
                heapq.heappush(candidates, (-cosine, number, other))
            elif _may_follow(another, track):
                heapq.heappush(candidates, (-cosine, other, number))
    return list(linked.values())


def concatenate_tracks(first: Track, second: Track) -> Track:
    """One track of the sightings of both, of which the second's are the later ones."""
    sightings = keep_best_vectors([*first.sightings, *second.sightings])
    thumbnail = max(first, second, key=lambda track: track.best.worth).thumbnail
    return Track(sightings, first.vector_sum + second.vector_sum, thumbnail)


def _find_candidates(tracks: Sequence[Track]) -> Iterator[tuple[float, int, int]]:
    """What may be linked at first: the negative cosine, and the places of both tracks."""
    if len(tracks) < 2:
        return
    means = np.stack([make_unit(track.vector_sum) for track in tracks])
    starts = np.array([track.start_s for track in tracks])
    for place, track in enumerate(tracks):
        gaps = starts - track.end_s
        near = np.flatnonzero((gaps > 0) & (gaps <= _LONGEST_GAP_S))
        cosines = means[near] @ means[place]
        for other, cosine in zip(near.tolist(), cosines.tolist(), strict=True):
            if cosine >= _LEAST_COSINE:
                yield -cosine, place, other


def _may_follow(track: Track, other: Track) -> bool:
    return 0 < other.start_s - track.end_s <= _LONGEST_GAP_S
