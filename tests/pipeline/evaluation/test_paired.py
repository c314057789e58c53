"""Two runs on the same resamples, with values by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.evaluation.paired import Comparison, Measure, Outcome, compare_figures
from pipeline.evaluation.resampling import Figure


def mean_of(*values: float) -> Measure:
    """A run whose figure is the mean of what its images have."""

    def measure(weights: np.ndarray) -> dict[str, float | None]:
        return {"mean": float(weights @ np.array(values) / weights.sum())}

    return measure


def test_what_is_hard_for_both_is_no_difference() -> None:
    hard = [0.1, 0.5, 0.9, 0.3, 0.7]
    found = compare_figures(mean_of(*hard), mean_of(*(each + 0.05 for each in hard)), 5)
    both = found["mean"]
    assert both.first.value == pytest.approx(0.5)
    assert both.second.value == pytest.approx(0.55)
    # Every resample has the same difference, however far apart its images are.
    assert (both.difference.low, both.difference.high) == pytest.approx((0.05, 0.05))
    assert both.first.low is not None
    assert both.second.low is not None
    assert both.first.low < 0.4
    assert both.second.low == pytest.approx(both.first.low + 0.05)
    assert both.outcome is Outcome.BETTER


def test_resamples_are_those_of_images() -> None:
    """Of two images that gain 0 and 0.2, half of the resamples have each once: 0, 0.1 and 0.2."""
    found = compare_figures(mean_of(0.4, 0.4), mean_of(0.4, 0.6), 2, samples=400)["mean"]
    assert found.difference.value == pytest.approx(0.1)
    # The interval is moved to lie around the figure, from which the mean of 400 is some 0.004 off.
    assert (found.difference.low, found.difference.high) == pytest.approx((0, 0.2), abs=0.01)
    assert found.outcome is Outcome.SAME
    drawn = []

    def watch(measure: Measure) -> Callable[[np.ndarray], dict[str, float | None]]:
        def run(weights: np.ndarray) -> dict[str, float | None]:
            drawn.append(weights.tolist())
            return dict(measure(weights))

        return run

    numbers: list[int] = []
    compare_figures(
        watch(mean_of(0, 0, 0)), watch(mean_of(0, 0, 1)), 3, samples=5, note=numbers.append
    )
    assert drawn[0] == drawn[1] == [1, 1, 1]
    # Whichever thread is first.
    assert sorted(drawn)[::2] == sorted(drawn)[1::2]
    assert [sum(weights) for weights in drawn] == [3] * 12
    assert numbers == [1, 2, 3, 4, 5]


def test_a_figure_that_only_one_run_has_has_no_difference() -> None:
    found = compare_figures(mean_of(1, 0), lambda weights: {"other": None}, 2, samples=10)
    assert found["mean"].first.value == 0.5
    assert found["mean"].second == Figure(None, None, None)
    assert found["mean"].outcome is None
    assert found["other"].difference == Figure(None, None, None)


def test_one_image_is_no_evidence() -> None:
    found = compare_figures(mean_of(0.2), mean_of(0.9), 1)["mean"]
    assert found.difference == Figure(pytest.approx(0.7), None, None)
    assert found.outcome is None
    assert compare_figures(lambda weights: {}, lambda weights: {}, 0) == {}


@pytest.mark.parametrize(("known", "outcome"), [(2, None), (10, Outcome.BETTER)])
def test_a_figure_of_very_few_images_is_no_evidence(known: int, outcome: Outcome | None) -> None:
    """Whatever they say, of two images of thirty a resample in eight has neither."""

    def measure(value: float) -> Measure:
        return lambda weights: {"rare": value if weights[:known].any() else None}

    found = compare_figures(measure(0.2), measure(0.3), 30)["rare"]
    assert found.difference.value == pytest.approx(0.1)
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "outcome"),
    [
        (0.1, 0.2, False, Outcome.BETTER),
        (0.1, 0.2, True, Outcome.WORSE),
        (-0.2, -0.1, False, Outcome.WORSE),
        (-0.2, -0.1, True, Outcome.BETTER),
        (0.0, 0.2, False, Outcome.SAME),
        (-0.1, 0.1, True, Outcome.SAME),
    ],
)
def test_what_the_interval_says(
    low: float, high: float, lower_is_better: bool, outcome: Outcome
) -> None:
    nothing = Figure(0.5, 0.4, 0.6)
    middle = Figure((low + high) / 2, low, high)
    assert Comparison(nothing, nothing, middle, lower_is_better).outcome is outcome
