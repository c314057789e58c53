"""Gives every pixel to one mask of each side at most, and counts what the sides share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.masks.detections import Int64s, find_runs
from schemas.masks import CocoRle, RunLengths
from workers.numba_jit import jit_exact

LEAST_FREE = 0.5
"""Of a found mask: if less is free, those before it have shown it (A. Kirillov et al., 2019)."""
_Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class SharedPixels:
    """Of found and true segments, each of which are disjoint.

    `found_px` (found,), `true_px` (true,), `common_px` (found, true), and `void_px` (found,): what
    of each found one lies in no class's pixels.
    """

    found_px: Int64s
    true_px: Int64s
    common_px: Int64s
    void_px: Int64s


def share_pixels(
    size_hw: tuple[int, int],
    found: Sequence[CocoRle],
    true: Sequence[CocoRle],
    void: CocoRle | None = None,
) -> SharedPixels:
    """Count, each pixel being of the first mask that has it, of an image of this size.

    Found masks of which less than half is free have no pixel. `void` overlaps no true mask. Raises
    ValueError for an invalid RLE.
    """
    pixels = size_hw[0] * size_hw[1]
    found_numbers = _paint(*_join_runs(found), pixels, LEAST_FREE)
    voids = [] if void is None else [void]
    true_numbers = _paint(*_join_runs([*true, *voids]), pixels, 0.0)
    counts = _count_pairs(found_numbers, true_numbers, len(found), len(true) + 1)
    rows, columns = slice(1, None), slice(1, len(true) + 1)
    return SharedPixels(
        counts[rows].sum(axis=1),
        counts[:, columns].sum(axis=0),
        counts[rows, columns],
        counts[rows, len(true) + 1],
    )


def _join_runs(rles: Sequence[CocoRle]) -> tuple[RunLengths, Int64s]:
    runs = [find_runs(rle) for rle in rles]
    ends = np.cumsum([0, *map(len, runs)])
    return np.concatenate([np.zeros(0, np.int64), *runs]), ends


@jit_exact
def _paint(runs: RunLengths, ends: Int64s, pixels: int, least_free: float) -> _Numbers:
    """The number of each pixel's mask, from 1, 0 for none; column-major."""
    numbers = np.zeros(pixels, np.int32)
    for mask in range(len(ends) - 1):
        free = area = at = 0
        for place in range(ends[mask], ends[mask + 1]):
            stop = at + runs[place]
            if (place - ends[mask]) % 2:
                area += runs[place]
                for pixel in range(at, stop):
                    free += numbers[pixel] == 0
            at = stop
        if not free or free < least_free * area:
            continue
        at = 0
        for place in range(ends[mask], ends[mask + 1]):
            stop = at + runs[place]
            if (place - ends[mask]) % 2:
                for pixel in range(at, stop):
                    if numbers[pixel] == 0:
                        numbers[pixel] = mask + 1
            at = stop
    return numbers


@jit_exact
def _count_pairs(found: _Numbers, true: _Numbers, most_found: int, most_true: int) -> Int64s:
    """How many pixels have each pair of numbers: (found + 1, true + 1)."""
    counts = np.zeros((most_found + 1, most_true + 1), np.int64)
    for pixel in range(len(found)):
        counts[found[pixel], true[pixel]] += 1
    return counts
