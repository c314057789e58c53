"""Ranks that are fused and varied: sums and orders worked out by hand."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from workers.indexes.fusion import fuse_ranks, vary

A, B, C, D = (uuid.UUID(int=number) for number in (1, 2, 3, 4))


def test_ranks_are_summed_by_weight() -> None:
    # With k = 60: A 1/61 + 1/63, B 1/62 + 1/61, C 1/63, D 1/62.
    assert fuse_ranks([[A, B, C], [B, D, A]], [1, 1], 60) == [B, A, D, C]
    # The second list counts a hundredth: A leads by the first.
    assert fuse_ranks([[A, B, C], [B, D, A]], [1, 0.01], 60) == [A, B, C, D]
    assert fuse_ranks([[A, B, C], [B, D, A]], [0.01, 1], 60) == [B, D, A, C]


def test_ties_go_by_id_and_a_small_k_favours_the_first() -> None:
    assert fuse_ranks([[D, C], [A, B]], [2, 2], 60) == [A, D, B, C]
    # C: 1/3 + 1/3; A: 1/1 alone.
    assert fuse_ranks([[A, B, C], [D, B, C]], [1, 1], 0) == [A, B, D, C]
    assert fuse_ranks([[A, B, C], [D, B, C]], [1, 1], 60) == [B, C, A, D]


def test_nothing_is_fused_to_nothing_and_every_list_has_a_weight() -> None:
    assert fuse_ranks([], [], 60) == []
    assert fuse_ranks([[], [C]], [1, 1], 60) == [C]
    with pytest.raises(ValueError, match="shorter"):
        fuse_ranks([[A], [B]], [1], 60)


def test_variety_trades_relevance_against_nearness_to_those_before() -> None:
    rows = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    relevance = np.array([0.9, 0.8, 0.2, 0.5], np.float32)
    assert vary(relevance, rows, 0.0) == [0, 1, 3, 2]
    # After row 0: row 1 0.4 - 0.5, row 2 0.1 - 0, row 3 0.25 - 0.3; then row 3 is 0.25 - 0.4.
    assert vary(relevance, rows, 0.5) == [0, 2, 1, 3]
    assert vary(relevance, rows, 1.0) == [0, 2, 3, 1]
    assert vary(np.zeros(0, np.float32), np.zeros((0, 2), np.float32), 0.5) == []
