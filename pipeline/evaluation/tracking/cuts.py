"""Measures the cuts that are found in a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class CutCounts:
    """Cuts that are found, in excess, and missed; to be added up over videos."""

    found: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: CutCounts) -> CutCounts:
        return CutCounts(
            self.found + other.found, self.false + other.false, self.missed + other.missed
        )

    @property
    def f1(self) -> float:
        """1 where there is no cut and none is found."""
        total = 2 * self.found + self.false + self.missed
        return 2 * self.found / total if total else 1.0


def count_cuts(found_s: Sequence[float], spans_s: Sequence[tuple[float, float]]) -> CutCounts:
    """Hold cuts against the true ones, each a span of time in which it may be told.

    A hard cut's begins and ends at the first frame of the shot (a tolerance of 0), that of shots
    which fade into one another is as long as that. One cut is told for each.
    """
    told = {
        place
        for cut_s in found_s
        for place, (first_s, last_s) in enumerate(spans_s)
        if first_s - _ROUNDING_S <= cut_s <= last_s + _ROUNDING_S
    }
    return CutCounts(len(told), len(found_s) - len(told), len(spans_s) - len(told))
