"""Links tracks that show one object at different times, as when it was away for long."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from schemas.records import Float32Vector
from schemas.videos import Track
from workers.videos.association import FARTHER_COSTS
from workers.videos.motion import find_centre
from workers.videos.worth import keep_best_vectors, make_unit

_LEAST_COSINE = 0.65  # of the means of both
_LONGEST_GAP_S = 10.0


def link_tracks(tracks: Sequence[Track]) -> list[Track]:
    """The tracks, those linked that follow one another and are alike, the most alike first.

    A track goes on in another that begins after its end, up to 10 s later; where several would do,
    rather in one that begins nearby.
    """
    links = _Links()
    for track in tracks:
        links.add(track)
    while (pair := links.pop_best()) is not None:
        links.add(concatenate_tracks(*pair))
    return list(links.open.values())


def concatenate_tracks(first: Track, second: Track) -> Track:
    """One track of the sightings of both, of which the second's are the later ones."""
    sightings = keep_best_vectors([*first.sightings, *second.sightings])
    thumbnail = max(first, second, key=lambda track: track.best.worth).thumbnail
    return Track(sightings, first.vector_sum + second.vector_sum, thumbnail)


class _Links:
    """Tracks by numbers, and which of them may be linked; `open` are those that are not yet."""

    def __init__(self) -> None:
        self.open: dict[int, Track] = {}
        self._means: list[Float32Vector] = []
        self._pairs: list[tuple[float, int, int]] = []
        # Of all tracks in the order of time: of a long shot only those near are looked at.
        self._starts: list[tuple[float, int]] = []
        self._ends: list[tuple[float, int]] = []

    def add(self, track: Track) -> None:
        number = len(self._means)
        self._means.append(make_unit(track.vector_sum))
        self.open[number] = track
        begin = bisect_right(self._starts, (track.end_s, number))
        end = bisect_right(self._starts, (track.end_s + _LONGEST_GAP_S, number))
        for _, other in self._starts[begin:end]:
            self._note(number, other)
        begin = bisect_left(self._ends, (track.start_s - _LONGEST_GAP_S, 0))
        end = bisect_left(self._ends, (track.start_s, 0))
        for _, other in self._ends[begin:end]:
            self._note(other, number)
        insort(self._starts, (track.start_s, number))
        insort(self._ends, (track.end_s, number))

    def pop_best(self) -> tuple[Track, Track] | None:
        """Take out the two that belong together most, the earlier first; None: no two do."""
        while self._pairs:
            _, first, second = heapq.heappop(self._pairs)
            if first in self.open and second in self.open:
                return self.open.pop(first), self.open.pop(second)
        return None

    def _note(self, number: int, other: int) -> None:
        """Note that one may go on in the other, if they are open and alike."""
        if number not in self.open or other not in self.open:
            return
        cosine = float(self._means[number] @ self._means[other])
        if cosine >= _LEAST_COSINE:
            cost = FARTHER_COSTS * _measure_way(self.open[number], self.open[other])
            heapq.heappush(self._pairs, (cost - cosine, number, other))


def _measure_way(track: Track, other: Track) -> float:
    """From where one ends to where the other begins, in diagonals of the frame."""
    last, first = track.sightings[-1].mask, other.sightings[0].mask
    return math.dist(find_centre(last), find_centre(first)) / math.hypot(*last.rle.size_hw)
