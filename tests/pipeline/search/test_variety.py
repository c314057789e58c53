"""A variety: unlike objects first, and of like ones those that show the most."""

from __future__ import annotations

import numpy as np

from pipeline.search.variety import rank_by_variety

AXES = np.eye(3, dtype=np.float32)


def test_every_sort_comes_before_any_comes_twice() -> None:
    near = AXES + 0.05 * np.roll(AXES, 1, axis=0)
    vectors = np.concatenate([AXES[:1], near[:1], AXES[1:2], near[1:2], AXES[2:], near[2:]])
    order = rank_by_variety(vectors, np.full(6, 0.5), 6)
    assert {number // 2 for number in order[:3]} == {0, 1, 2}
    assert sorted(order) == list(range(6))


def test_of_one_sort_the_most_telling_comes_first() -> None:
    vectors = np.concatenate([AXES[:1]] * 3 + [AXES[1:2]] * 2)
    order = rank_by_variety(vectors, np.array([0.1, 0.9, 0.2, 0.3, 0.4]), 2)
    assert order == [1, 4]


def test_there_are_no_more_than_there_are() -> None:
    vectors = np.zeros((2, 3), np.float32)
    assert sorted(rank_by_variety(vectors, np.zeros(2), 10)) == [0, 1]
