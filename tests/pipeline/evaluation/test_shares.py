"""Shares in bins of as many as each other, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.shares import bin_shares, measure_gap


def test_bins_hold_as_many_as_each_other() -> None:
    numbers = np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.7])
    hits = np.array([True, False, True, True, False, True])
    low, high = bin_shares(numbers, hits, most=2, least=3)
    assert (low.centre, low.count, low.share) == (pytest.approx(0.2), 3, pytest.approx(1 / 3))
    assert (high.centre, high.count, high.share) == (pytest.approx(0.8), 3, 1)
    # E. B. Wilson's interval of 3 of 3 at 1.96 deviations.
    assert (high.low, high.high) == (pytest.approx(3 / (3 + 1.96**2), abs=1e-3), 1)
    assert measure_gap([low, high]) == pytest.approx((abs(1 / 3 - 0.2) + 0.2) / 2)
    assert len(bin_shares(numbers, hits, most=2, least=4)) == 1
    assert bin_shares(np.zeros(0), np.zeros(0, np.bool_), 5, 5) == []


def test_equal_numbers_share_a_bin() -> None:
    numbers = np.array([0.5] * 5 + [0.9])
    first, second = bin_shares(numbers, np.arange(6) % 2 == 0, most=6, least=1)
    assert (first.count, second.count) == (5, 1)
    assert first.share == pytest.approx(0.6)
