"""Small holes and islands of masks, as segment-anything removes them, without OpenCV."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.masks import BoolMask

Ints = npt.NDArray[np.intp]


def remove_small_regions(mask: BoolMask, min_area_px: int) -> BoolMask:
    """`mask` with holes, then islands, of fewer than `min_area_px` pixels removed.

    bool (height, width) in and out. Regions are connected by sides and corners. The largest island
    stays, whatever its size.
    """
    mask = ~_without_small(~mask, min_area_px, keep_largest=False)
    return _without_small(mask, min_area_px, keep_largest=True)


def _without_small(mask: BoolMask, min_area_px: int, *, keep_largest: bool) -> BoolMask:
    starts, ends = _column_runs(mask)
    if not len(starts):
        return mask
    regions = _regions(starts, ends, mask.shape[0] + 1)
    areas = np.bincount(regions, weights=ends - starts)
    keep = areas >= min_area_px
    if keep_largest and not keep.any():
        keep[areas.argmax()] = True
    kept = keep[regions]
    steps = np.zeros((mask.shape[0] + 1) * mask.shape[1], np.int8)
    steps[starts[kept]] = 1
    steps[ends[kept]] = -1
    filled = np.cumsum(steps, dtype=np.int8).astype(np.bool_)
    return filled.reshape((mask.shape[0] + 1, mask.shape[1]), order="F")[:-1]


def _column_runs(mask: BoolMask) -> tuple[Ints, Ints]:
    # One empty row below keeps the runs of neighbouring columns apart.
    flat = np.pad(mask, ((0, 1), (0, 0))).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat.view(np.int8), prepend=np.int8(0)))
    return changes[0::2], changes[1::2]


def _regions(starts: Ints, ends: Ints, stride: int) -> Ints:
    """The region of each run, (runs,), numbered by one of its runs."""
    # Moved one column to the left, a run touches, by side or corner, every run it overlaps when
    # both ends are let out by one.
    first = np.searchsorted(ends, starts - stride, side="left").tolist()
    last = np.searchsorted(starts, ends - stride, side="right").tolist()
    parents = list(range(len(starts)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for run, (low, high) in enumerate(zip(first, last, strict=True)):
        for neighbour in range(low, high):
            parents[root(run)] = root(neighbour)
    return np.array([root(run) for run in range(len(parents))], np.intp)
