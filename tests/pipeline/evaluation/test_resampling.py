"""Intervals of resamples: around the figure, within what it can be."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.resampling import Figure, describe_figure, resample


def test_an_interval_lies_around_its_figure_however_resamples_lean() -> None:
    drawn = [0.3 + number / 1000 for number in range(101)]
    assert describe_figure(0.31, drawn) == Figure(
        0.31, pytest.approx(0.31 - 0.0475), pytest.approx(0.31 + 0.0475)
    )


def test_it_ends_where_figures_do() -> None:
    drawn = [number / 100 for number in range(101)]
    assert describe_figure(0.1, drawn) == Figure(0.1, 0.0, pytest.approx(0.575))
    assert describe_figure(0.9, drawn) == Figure(0.9, pytest.approx(0.425), 1.0)
    assert describe_figure(-0.1, drawn, least=-1.0).low == pytest.approx(-0.575)


def test_what_is_unknown_has_none() -> None:
    assert describe_figure(None, [0.5]) == Figure(None, None, None)
    assert describe_figure(0.5, [None, None]) == Figure(0.5, None, None)
    assert describe_figure(0.5, [None, 0.2]) == Figure(0.5, 0.5, 0.5)


def test_resamples_are_the_same_and_in_order_every_time() -> None:
    numbers: list[int] = []
    drawn = resample(np.ndarray.tolist, 4, 30, numbers.append)
    assert drawn == resample(np.ndarray.tolist, 4, 30)
    assert {sum(weights) for weights in drawn} == {4}
    assert len({tuple(weights) for weights in drawn}) > 10
    assert numbers == list(range(1, 31))
