"""Joins the rings of a mask to one path, for formats in which an object is a single polygon."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.formats.mask_rings import Ring, drop_midpoints, trace_rings
from schemas.masks import CocoRle

_MOST_ENDS = 6000
"""Points among which the shortest bridges are looked for: each is compared with each."""
_MOST_RINGS = 4000
"""Of noise: with ten times as many, the work would be a hundredfold."""
_MOST_AT_ONCE = 2**20


def trace_path(rle: CocoRle) -> Ring:
    """One closed path around a mask that is not empty, through the middles of its pixels.

    Holes and further parts are reached, and left, over the shortest bridges. Filled by the
    even-odd rule and drawn, it is the mask again; of several parts it has the pixels under the
    bridges between these as well, and of more than 4,000 rings the longest alone count. Raises
    ValueError for an invalid RLE.
    """
    x0, y0, x1, y1 = rle.bbox_xyxy
    rings = trace_rings(rle.decode_columns(x0, x1)[y0:y1])
    path: Ring = rings[0] if len(rings) == 1 else drop_midpoints(_join(rings))
    return path + np.array([x0, y0], np.int64)


def _join(rings: list[Ring]) -> Ring:
    """All points of rings in one path: each ring is joined to those joined before, nearest first.

    As no bridge is longer than another way to its ring, none crosses a border.
    """
    rings = sorted(map(_fill_in, rings), key=len, reverse=True)[:_MOST_RINGS]
    sizes = np.array([len(ring) for ring in rings])
    first = sizes.cumsum() - sizes
    points = np.concatenate(rings)
    chain = _Chain(first, sizes)
    of_ring = np.repeat(np.arange(len(rings)), sizes)
    left = _choose_ends(first, sizes)
    left = left[of_ring[left] != 0]
    nearest = np.zeros(len(left), np.int64)
    shortest = np.full(len(left), np.inf, np.float32)
    joined = 0
    for _ in range(len(rings) - 1):
        ends = first[joined] + np.arange(0, sizes[joined], 1 + sizes[joined] // _MOST_ENDS)
        closest, lengths = _find_nearest(points[left], points[ends])
        better = lengths < shortest
        nearest[better], shortest[better] = ends[closest[better]], lengths[better]
        best = int(shortest.argmin())
        joined = int(of_ring[left[best]])
        chain.splice(int(nearest[best]), int(left[best]), joined)
        stays = of_ring[left] != joined
        left, nearest, shortest = left[stays], nearest[stays], shortest[stays]
    return points[chain.follow()]


def _choose_ends(first: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Ring:
    """The points at which rings may be joined: all, or of many some of each ring."""
    step = 1 + int(sizes[1:].sum()) // _MOST_ENDS
    return np.concatenate(
        [start + np.arange(0, size, step) for start, size in zip(first, sizes, strict=True)]
    )


def _find_nearest(of: Ring, to: Ring) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each point which of the others is nearest, and the square of how far it is."""
    closest, lengths = np.zeros(len(of), np.int64), np.zeros(len(of), np.float32)
    block = max(1, _MOST_AT_ONCE // len(to))
    there = to.astype(np.float32)
    for start in range(0, len(of), block):
        here = slice(start, start + block)
        x, y = (
            np.subtract.outer(of[here, axis].astype(np.float32), there[:, axis]) for axis in (0, 1)
        )
        squares = x * x + y * y
        closest[here] = squares.argmin(axis=1)
        lengths[here] = squares.min(axis=1)
    return closest, lengths


def _fill_in(ring: Ring) -> Ring:
    """A ring with every pixel that it passes, once or more often."""
    moves = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(moves).max(axis=1)
    steps = np.repeat(np.sign(moves), lengths, axis=0)
    return np.concatenate([ring[:1], ring[0] + steps[:-1].cumsum(axis=0)])


class _Chain:
    """Which point comes after which, by number; of points that are passed again, copies."""

    def __init__(self, first: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> None:
        self._after = (np.arange(sizes.sum()) + 1).tolist()
        self._points = list(range(len(self._after)))
        self._first, self._sizes = first.tolist(), sizes.tolist()
        for start, size in zip(self._first, self._sizes, strict=True):
            self._after[start + size - 1] = start

    def splice(self, at: int, point: int, ring: int) -> None:
        """From `at` go to `point` of a ring that is not joined yet, around it, and back."""
        start, size = self._first[ring], self._sizes[ring]
        before = start + (point - start - 1) % size
        point_again, at_again = len(self._after), len(self._after) + 1
        self._points += (point, at)
        self._after += (at_again, self._after[at])
        self._after[before] = point_again
        self._after[at] = point

    def follow(self) -> list[int]:
        """The points in their order, from the first on."""
        path, link = [self._points[0]], self._after[0]
        while link:
            path.append(self._points[link])
            link = self._after[link]
        return path
