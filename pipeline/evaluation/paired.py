"""Compares two runs figure by figure: both are measured on the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.evaluation.resampling import (
    SAMPLES,
    Figure,
    Weights,
    describe_figure,
    resample,
)

Measure = Callable[[Weights], Mapping[str, float | None]]
"""Gives the figures of a resample."""
_LEAST_UNITS = 2  # of one, every resample is the same
_MOST_SILENT = 0.01


class Outcome(StrEnum):
    """How the second run does beside the first; `same`: by no more than noise."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of two runs, and by how much that of the second is higher, with its interval."""

    first: Figure
    second: Figure
    difference: Figure
    lower_is_better: bool = False

    @property
    def outcome(self) -> Outcome | None:
        """More than noise if the interval of the difference leaves out 0; None if it is unknown."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return None
        if low <= 0 <= high:
            return Outcome.SAME
        return Outcome.BETTER if (low > 0) != self.lower_is_better else Outcome.WORSE


def compare_figures(
    first: Measure,
    second: Measure,
    units: int,
    *,
    lower_is_better: frozenset[str] = frozenset(),
    samples: int = SAMPLES,
    note: Callable[[int], None] = lambda drawn: None,
) -> dict[str, Comparison]:
    """Every figure of either run, with intervals of 95% of resamples.

    The paired bootstrap (B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993): the
    same units are drawn with replacement for both runs, so that what is hard for both of them does
    not count as a difference. Units must be in the same order. Of a figure that is None in more
    than 1% of resamples, in either run, the difference has no interval: it hangs on some four units
    or fewer, all of which a resample may leave out. `note` is called with the number of each one.
    """
    whole = np.ones(units, np.int64)
    values = first(whole), second(whole)
    drawn = resample(
        lambda weights: (first(weights), second(weights)),
        units,
        samples if units >= _LEAST_UNITS else 0,
        note,
    )
    return {
        name: Comparison(
            describe_figure(values[0].get(name), [pair[0].get(name) for pair in drawn]),
            describe_figure(values[1].get(name), [pair[1].get(name) for pair in drawn]),
            describe_figure(_subtract(values, name), _subtract_drawn(drawn, name), least=-1.0),
            name in lower_is_better,
        )
        for name in dict.fromkeys([*values[0], *values[1]])
    }


def _subtract_drawn(
    drawn: Sequence[tuple[Mapping[str, float | None], Mapping[str, float | None]]], name: str
) -> list[float | None]:
    """The difference in each resample; of none, where too many tell nothing."""
    differences = [_subtract(pair, name) for pair in drawn]
    return [] if differences.count(None) > _MOST_SILENT * len(drawn) else differences


def _subtract(
    figures: tuple[Mapping[str, float | None], Mapping[str, float | None]], name: str
) -> float | None:
    first, second = (side.get(name) for side in figures)
    return None if first is None or second is None else second - first
