"""Removes small holes and islands from masks, as segment-anything does and by their share.

Masks stay run-length encoded: regions are connected runs of neighbouring columns.
"""

from __future__ import annotations

import math

import numpy as np

from schemas.masks import CocoRle
from workers.numba_jit import jit_exact
from workers.rle_numba import Int64s, encode_changes


def remove_small_regions(rle: CocoRle, min_area_px: int) -> CocoRle:
    """A mask with holes, then islands, of fewer than `min_area_px` pixels removed.

    Regions are connected by sides and corners. The largest island stays, whatever its size. Raises
    ValueError for an invalid RLE.
    """
    return _remove(rle, min_area_px, min_area_px, False)


def remove_by_share(
    rle: CocoRle, hole_frac: float, island_frac: float, largest_only: bool
) -> CocoRle:
    """A mask with holes, then islands, of less than these shares of its area removed.

    With `largest_only` all islands but the largest. The largest region outside is no hole. A mask
    without any stays as it is, to the byte. Raises ValueError for an invalid RLE.
    """
    area_px = rle.area_px
    least_island = rle.size_hw[0] * rle.size_hw[1] + 1
    if not largest_only:
        least_island = math.ceil(island_frac * area_px)
    cleaned = _remove(rle, math.ceil(hole_frac * area_px), least_island, True)
    return rle if _find_changes(cleaned) == _find_changes(rle) else cleaned


def _find_changes(rle: CocoRle) -> list[int]:
    """Where a mask changes. Runs of no pixels, which some encoders write, are no change."""
    ends = rle.runs().cumsum()
    places, times = np.unique(ends[:-1], return_counts=True)
    changes: list[int] = places[(times % 2 == 1) & (places < ends[-1])].tolist()
    return changes


def _remove(rle: CocoRle, hole_px: int, island_px: int, keep_outside: bool) -> CocoRle:
    height, width = rle.size_hw
    changes = _clean(rle.runs().cumsum(), height, width, hole_px, island_px, keep_outside)
    (counts,) = encode_changes(changes, np.array([0, len(changes)]), height * width)
    return CocoRle(rle.size_hw, counts)


@jit_exact
def _clean(
    run_ends: Int64s, height: int, width: int, hole_px: int, island_px: int, keep_outside: bool
) -> Int64s:
    """Where a mask without its small regions changes, column-major; it starts outside."""
    pixels = height * width
    most = len(run_ends) // 2 + 1 + width
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    count, begin = 0, 0
    for number in range(len(run_ends)):
        end = int(run_ends[number])
        if number % 2 == 0:
            count = _append_by_columns(begin, end, height, starts, ends, count)
        begin = end
    count = _keep_large(starts, ends, count, height, hole_px, keep_outside)
    # Holes are filled now; what lies between the outside runs that stay is inside.
    most = count + 1 + width
    inner_starts, inner_ends = np.empty(most, np.int64), np.empty(most, np.int64)
    inner, begin = 0, 0
    for number in range(count + 1):
        end = starts[number] if number < count else pixels
        inner = _append_by_columns(begin, end, height, inner_starts, inner_ends, inner)
        if number < count:
            begin = ends[number]
    inner = _keep_large(inner_starts, inner_ends, inner, height, island_px, True)
    changes = np.empty(2 * inner, np.int64)
    count = 0
    for number in range(inner):
        if count and changes[count - 1] == inner_starts[number]:
            count -= 1
        else:
            changes[count] = inner_starts[number]
            count += 1
        changes[count] = inner_ends[number]
        count += 1
    return changes[:count]


@jit_exact
def _append_by_columns(
    begin: int, end: int, height: int, starts: Int64s, ends: Int64s, count: int
) -> int:
    """Append pixels `begin` to `end`, a run for each column; the number of runs then."""
    while begin < end:
        stop = min(end, (begin // height + 1) * height)
        starts[count], ends[count] = begin, stop
        count += 1
        begin = stop
    return count


@jit_exact
def _keep_large(
    starts: Int64s, ends: Int64s, count: int, height: int, min_area_px: int, keep_largest: bool
) -> int:
    """Move those of `count` runs that belong to large regions to the front; how many they are.

    Each run lies in one column.
    """
    parents = np.arange(count)
    low = 0  # the first run of the column before that may touch this one or a later one
    for run in range(count):
        # Moved by a column, a run touches, by side or corner, what it overlaps or borders on.
        start, end = starts[run] - height, ends[run] - height
        column = starts[run] // height
        while low < run and (starts[low] // height < column - 1 or ends[low] < start):
            low += 1
        other = low
        while other < run and starts[other] // height < column and starts[other] <= end:
            parents[_find_root(parents, run)] = _find_root(parents, other)
            other += 1
    areas = np.zeros(count, np.int64)
    for run in range(count):
        areas[_find_root(parents, run)] += ends[run] - starts[run]
    largest = areas.max() if count else 0
    largest_root = areas.argmax() if count else 0
    kept = 0
    for run in range(count):
        root = _find_root(parents, run)
        if areas[root] >= min_area_px or (
            keep_largest and largest < min_area_px and root == largest_root
        ):
            starts[kept], ends[kept] = starts[run], ends[run]
            kept += 1
    return kept


@jit_exact
def _find_root(parents: Int64s, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run
