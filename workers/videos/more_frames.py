"""Chooses the frames between those of steps that show what these do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from workers.videos.cuts import SmallImages, measure_change

# A change by this much is clear: see `cuts.measure_change`.
_CLEAR = 0.2


def choose_more_frames(
    images: SmallImages, rows: Sequence[int], cuts: Sequence[int], end: int, room: int
) -> list[int]:
    """Rows of frames beside `rows`, which are those of steps; increasing.

    Of a shot without any, its middle frame: always. Between two frames of steps in one shot, the
    frame that differs most from the one of both which it is more like, if it does so by at least
    0.2, and by more than the two differ from each other: at most `room` with the middle ones,
    earlier ones first. Shots begin at `rows[0]` and at `cuts`, the last one ends before `end`.
    """
    middles = list(_find_middles(rows, cuts, end))
    between = []
    for first, last in pairwise(rows):
        if not any(first < cut <= last for cut in cuts):
            row = _find_odd(images, first, last)
            between += [] if row is None else [row]
    return sorted({*middles, *between[: max(room - len(middles), 0)]})


def _find_middles(rows: Sequence[int], cuts: Sequence[int], end: int) -> Iterator[int]:
    for first, after in pairwise([rows[0], *cuts, end]):
        if not any(first <= row < after for row in rows):
            yield (first + after - 1) // 2


def _find_odd(images: SmallImages, first: int, last: int) -> int | None:
    if last - first < 2:
        return None
    between = images[first + 1 : last].astype(np.float32)
    sides = images[[first, last]].astype(np.float32)
    changes = np.minimum(measure_change(sides[0], between), measure_change(sides[1], between))
    row = int(changes.argmax())
    least = max(_CLEAR, float(measure_change(sides[0], sides[1])))
    return first + 1 + row if changes[row] > least else None
