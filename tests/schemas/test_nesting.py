"""Which masks of an image are parts of which."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.masks import BoolMask, CocoRle
from schemas.nesting import HELD_SHARE, Level, find_levels, find_parents

HW = (12, 12)


def square(x0: int, y0: int, x1: int, y1: int) -> BoolMask:
    mask = np.zeros(HW, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def parents_of(*masks: BoolMask) -> list[int | None]:
    return find_parents([CocoRle.from_mask(mask) for mask in masks])


def test_the_smallest_mask_around_another_is_its_parent() -> None:
    whole, half, quarter = square(0, 0, 10, 10), square(0, 0, 10, 5), square(0, 0, 5, 5)
    beside = square(10, 10, 12, 12)
    parents = parents_of(quarter, beside, whole, half)
    assert parents == [3, None, None, 2]
    assert find_levels(parents) == [Level.SUBPART, Level.WHOLE, Level.WHOLE, Level.PART]


def test_a_tenth_of_a_part_may_stick_out() -> None:
    whole, out_by_a_tenth, out_by_more = (
        square(0, 0, 10, 10),
        square(9, 0, 11, 1),
        square(8, 5, 12, 6),
    )
    out_by_a_tenth[:] = False
    out_by_a_tenth[0:9, 9], out_by_a_tenth[0, 10] = True, True
    assert parents_of(whole, out_by_a_tenth, out_by_more) == [None, 0, None]


def test_equal_masks_and_no_masks_have_no_parents() -> None:
    assert parents_of(square(0, 0, 4, 4), square(0, 0, 4, 4)) == [None, None]
    assert find_parents([]) == find_levels([]) == []


@given(st.lists(arrays.arrays(np.bool_, HW), max_size=6))
def test_parents_are_the_smallest_that_hold_enough_pixels(masks: list[BoolMask]) -> None:
    parents = parents_of(*masks)
    for place, (mask, parent) in enumerate(zip(masks, parents, strict=True)):
        holding = {
            other: int(masks[other].sum())
            for other in range(len(masks))
            if masks[other].sum() > mask.sum()
            and (mask & masks[other]).sum() >= HELD_SHARE * max(int(mask.sum()), 1)
        }
        assert (parent is None) == (not holding), place
        if parent is not None:
            assert holding[parent] == min(holding.values())
    levels = find_levels(parents)
    assert [level is Level.WHOLE for level in levels] == [parent is None for parent in parents]
