"""Small regions of masks against a flood fill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.masks import BoolMask, CocoRle
from workers.refiners.small_regions import remove_small_regions


def regions(mask: BoolMask) -> list[list[tuple[int, int]]]:
    """Pixels connected by sides and corners, by flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        queue = [left.pop()]
        region = []
        while queue:
            y, x = queue.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            queue += near
        found.append(region)
    return found


def expected(mask: BoolMask, least: int) -> BoolMask:
    mask = mask.copy()
    for hole in regions(~mask):
        if len(hole) < least:
            mask[tuple(zip(*hole, strict=True))] = True
    islands = regions(mask)
    for island in islands:
        if len(island) < least and any(len(other) >= least for other in islands):
            mask[tuple(zip(*island, strict=True))] = False
    return mask


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(0, 12))
def test_as_a_flood_fill_does_it(mask: BoolMask, least: int) -> None:
    rle = remove_small_regions(CocoRle.from_mask(mask), least)
    got = rle.decode()
    assert rle == CocoRle.from_mask(got)
    want = expected(mask, least)
    islands = regions(want)
    if all(len(island) < least for island in islands):
        largest = max(map(len, islands), default=0)
        assert got.sum() == largest
        assert not (got & ~want).any()
    else:
        assert np.array_equal(got, want)


@pytest.mark.parametrize("value", [False, True])
def test_uniform_masks_stay(value: bool) -> None:
    mask = np.full((4, 7), value)
    rle = CocoRle.from_mask(mask)
    assert remove_small_regions(rle, 10) == rle
