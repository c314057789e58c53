"""The choice of points, held to what it promises for any grid and any masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workers.segmenters.point_choice import (
    Known,
    Shown,
    add_votes,
    find_news,
    is_enough,
    next_round,
    order_points,
    rank_octaves,
)


@given(st.integers(1, 70))
def test_octaves_are_grids_of_half_the_spacing(side: int) -> None:
    octaves = rank_octaves(side).reshape(side, side)
    assert octaves.min() == 0
    last = int(octaves.max())
    for octave in range(last + 1):
        rows, columns = (np.flatnonzero((octaves <= octave).any(axis=axis)) for axis in (1, 0))
        assert (octaves[np.ix_(rows, columns)] <= octave).all()  # a whole grid, nothing beside
        assert (octaves <= octave).sum() == len(rows) * len(columns)
        np.testing.assert_array_equal(rows, columns)
        assert set(np.diff(rows)) <= {2 ** (last - octave)}
        assert rows[0] <= 2 ** (last - octave) // 2


@pytest.mark.parametrize(
    ("side", "counts"), [(1, [1]), (5, [25]), (12, [9, 27, 108]), (24, [9, 27, 108, 432])]
)
def test_the_first_octave_has_at_least_three_points_a_side(side: int, counts: list[int]) -> None:
    assert np.bincount(rank_octaves(side)).tolist() == counts


@given(st.integers(1, 12), st.data())
def test_points_come_by_octave_then_by_score(side: int, data: st.DataObject) -> None:
    octaves = rank_octaves(side)
    scores = data.draw(arrays.arrays(np.float32, side**2, elements=st.floats(0, 1, width=32)))
    order = order_points(octaves, scores)
    assert sorted(order.tolist()) == list(range(side**2))
    keys = list(zip(octaves[order], -scores[order], strict=True))
    assert keys == sorted(keys)
    assert order_points(octaves, None).tolist() == np.argsort(octaves, kind="stable").tolist()


def test_a_round_takes_the_first_that_are_open() -> None:
    is_open = np.array([True, False, True, True])
    order = np.array([3, 1, 0, 2])
    assert next_round(order, is_open, 2).tolist() == [3, 0]
    assert next_round(order, is_open, 9).tolist() == [3, 0, 2]
    assert next_round(order[:2], is_open, 9).tolist() == [3]


def test_the_smallest_sure_mask_at_a_place_is_what_votes_count_for() -> None:
    whole, part = [True, True, True], [False, True, False]
    known = add_votes(
        Known.nothing(3), np.array([whole, whole]), np.array([900.0, 950.0]), np.array([0, 1])
    )
    assert known.smallest_px.tolist() == [900, 900, 900]
    assert known.votes.tolist() == [2, 2, 2]
    known = add_votes(known, np.array([whole, part]), np.array([900.0, 100.0]), np.array([2, 2]))
    assert known.smallest_px.tolist() == [900, 100, 900]
    assert known.votes.tolist() == [3, 1, 3]  # the whole that came with the part is not its vote
    known = add_votes(known, np.array([whole]), np.array([900.0]), np.array([3]))
    assert known.votes.tolist() == [4, 1, 4]
    assert is_enough(known, 4, 0.0, 10.0).tolist() == [True, False, True]


def test_a_large_mask_needs_a_share_of_its_points() -> None:
    known = Known(np.array([800.0, 100.0, np.inf]), np.array([2, 2, 0]))
    assert is_enough(known, 2, 0.0, 10.0).tolist() == [True, True, False]
    assert is_enough(known, 2, 0.25, 10.0).tolist() == [True, True, False]
    assert is_enough(known, 2, 0.5, 10.0).tolist() == [False, True, False]


Masks = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def masks(draw: st.DrawFn) -> Masks:
    count, places = draw(st.integers(0, 6)), 5
    inside = draw(arrays.arrays(np.bool_, (count, places)))
    areas = draw(arrays.arrays(np.float64, count, elements=st.floats(1, 1000)))
    prompts = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 3)))
    return inside, areas, prompts


@given(masks())
def test_a_prompt_has_one_vote_and_none_where_its_masks_are_not(given_masks: Masks) -> None:
    inside, areas, prompts = given_masks
    known = add_votes(Known.nothing(5), inside, areas, prompts)
    assert (known.votes <= len(np.unique(prompts))).all()
    covered = inside.any(axis=0)
    np.testing.assert_array_equal(known.votes > 0, covered)
    smallest = np.where(inside, areas[:, None], np.inf).min(axis=0, initial=np.inf)
    np.testing.assert_array_equal(known.smallest_px, smallest)


@given(masks())
def test_what_was_shown_is_no_news(given_masks: Masks) -> None:
    inside, areas, _ = given_masks
    assert find_news(Shown.nothing(5), inside, areas).all()
    assert not find_news(Shown.nothing(5).add(inside, areas), inside, areas).any()


def test_masks_differ_by_place_and_by_area() -> None:
    shown = Shown.nothing(4).add(np.array([[True, True, False, False]]), np.array([100.0]))
    inside = np.array([[True, True, False, False]] * 2 + [[True, False, False, False]])
    assert find_news(shown, inside, np.array([95.0, 60.0, 95.0])).tolist() == [False, True, True]
