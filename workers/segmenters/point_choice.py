"""Chooses which points of a grid are worth a prompt: coarse to fine, and not where enough is known.

Pure functions on arrays. Coarse to fine follows TinySAM's hierarchical grid (H. Shu et al., AAAI
2025), which leaves out whatever a sure mask covers, and so loses the parts of a sure whole. Here
the smallest sure mask at a place decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workers.numba_jit import jit_exact

Bools = npt.NDArray[np.bool_]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_COARSEST_SIDE = 3  # points a side of the first octave, at least
_SAME_AREA = 0.7  # masks at a place whose areas have this ratio or a higher one show the same
_ALIKE = 0.9  # IoU and ratio of areas from which on two masks say the same


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What sure masks have shown at n places.

    smallest_px float64 (n,): the area of the smallest sure mask there, infinite where none is.
    votes int64 (n,): how many prompts gave that mask.
    """

    smallest_px: Float64s
    votes: Int64s

    @classmethod
    def nothing(cls, places: int) -> Known:
        return cls(np.full(places, np.inf), np.zeros(places, np.int64))


def rank_octaves(points_per_side: int) -> Int64s:
    """The octave of each point of a square grid, row by row, 0 for the coarsest: int64 (n * n,).

    The points of the first octaves make a grid of twice the spacing of the next one.
    """
    spacing = 1
    while points_per_side // (2 * spacing) >= _COARSEST_SIDE:
        spacing *= 2
    line = np.arange(points_per_side) - spacing // 2
    octave_of_line, octave, step = np.full(points_per_side, -1), 0, spacing
    while step:
        octave_of_line[(line % step == 0) & (octave_of_line < 0)] = octave
        octave, step = octave + 1, step // 2
    ranks: Int64s = np.maximum.outer(octave_of_line, octave_of_line).ravel()
    return ranks


def order_points(octaves: Int64s, scores: Float32s | None) -> Int64s:
    """The points by octave, within one by falling score, then as they come: int64 (n,)."""
    worth = np.zeros(len(octaves)) if scores is None else -scores
    return np.lexsort((worth, octaves))


def next_round(order: Int64s, is_open: Bools, size: int) -> Int64s:
    """The first `size` points of `order` that are open, bool (n,); fewer if no more are."""
    return order[is_open[order]][:size]


def add_votes(known: Known, inside: Bools, area_px: Float64s, prompts: Int64s) -> Known:
    """What is known with m more sure masks.

    inside bool (m, n): which places each covers; prompts int64 (m,): whose mask it is. Each prompt
    has one vote at a place, for the smallest of its masks there. A mask much smaller than what was
    known takes its place, and votes are counted anew; one much larger is a whole around it, which
    says nothing of its parts.
    """
    smallest, votes = known.smallest_px.copy(), known.votes.copy()
    order = np.argsort(prompts, kind="stable")
    _vote(smallest, votes, inside[order], area_px[order], prompts[order])
    return Known(smallest, votes)


@jit_exact
def _vote(
    smallest: Float64s, votes: Int64s, inside: Bools, area_px: Float64s, prompts: Int64s
) -> None:
    """See `add_votes`; `prompts` are sorted, and the first two arrays are changed."""
    start = 0
    while start < len(prompts):
        end = start + 1
        while end < len(prompts) and prompts[end] == prompts[start]:
            end += 1
        for place in range(len(smallest)):
            area = np.inf
            for mask in range(start, end):
                if inside[mask, place]:
                    area = min(area, area_px[mask])
            if area == np.inf:
                continue
            before = smallest[place]
            if before == np.inf or area < _SAME_AREA * before:
                smallest[place], votes[place] = area, 1
            elif _SAME_AREA * area <= before:
                smallest[place], votes[place] = min(area, before), votes[place] + 1
        start = end


def is_enough(known: Known, votes: int, share: float, spacing_px: float) -> Bools:
    """Where nothing more need be asked: bool (n,).

    A place needs `votes` for the smallest sure mask there, and more in a large one, in which parts
    may lie between the points: the `share` of the grid's points that it holds, which are
    `spacing_px` apart.
    """
    with np.errstate(invalid="ignore"):  # a share of 0 of infinitely many
        points_inside = np.nan_to_num(share * known.smallest_px / spacing_px**2, posinf=np.inf)
    enough: Bools = known.votes >= np.maximum(votes, points_inside)
    return enough


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """k masks that have been found: which of n places each covers, bool (k, n), and its area."""

    inside: Bools
    area_px: Float64s

    @classmethod
    def nothing(cls, places: int) -> Shown:
        return cls(np.empty((0, places), np.bool_), np.empty(0))

    def add(self, inside: Bools, area_px: Float64s) -> Shown:
        return Shown(np.concatenate([self.inside, inside]), np.concatenate([self.area_px, area_px]))


def find_news(shown: Shown, inside: Bools, area_px: Float64s) -> Bools:
    """Which of m masks are unlike all that were shown: bool (m,), of bool (m, n) and float64 (m,).

    Two are alike if their areas are, and the places that they cover.
    """
    ours, theirs = inside.astype(np.float32), shown.inside.astype(np.float32)
    # By torch, of which the caller chose the threads: NumPy's would spin, waiting for each other.
    both = (torch.from_numpy(ours) @ torch.from_numpy(theirs).T).numpy()
    either = ours.sum(axis=1)[:, None] + theirs.sum(axis=1) - both
    areas = np.minimum.outer(area_px, shown.area_px), np.maximum.outer(area_px, shown.area_px)
    alike = (both >= _ALIKE * either) & (areas[0] >= _ALIKE * areas[1])
    news: Bools = ~alike.any(axis=1)
    return news
