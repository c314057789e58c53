"""Places values along an axis of a plot, and chooses the ticks that are labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.drawing.report.contents import Axis

_TICKS = 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, in pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value is, pixels; one beyond the ends is at the end."""
        low, high, value = (self._project(each) for each in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def _project(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.is_logarithmic else value

    def list_ticks(self) -> list[float]:
        """Round values within the ends: about five, or those of the powers of ten."""
        if self.is_logarithmic:
            return self._list_powers()
        raw = (self.high - self.low) / _TICKS
        power = 10 ** math.floor(math.log10(raw))
        step = next(power * each for each in _STEPS if power * each >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _list_powers(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        decades = math.log10(self.high / self.low)
        parts = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
        ticks = [part * 10.0**power for power in range(first, last + 1) for part in parts]
        return [tick for tick in ticks if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def fit_scale(axis: Axis, values: Sequence[float], start: float, end: float, room: float) -> Scale:
    """A scale that holds the values, unless the axis has ends of its own.

    `room` is the share of it that is added beyond the values.
    """
    values = [value for value in values if value > 0] if axis.is_logarithmic else values
    low = min(values, default=1.0) if axis.low is None else axis.low
    high = max(values, default=low) if axis.high is None else axis.high
    if high <= low:
        low, high = (low / 2, low * 2) if axis.is_logarithmic else (low - 0.5, low + 0.5)
    below, above = (room * (given is None) for given in (axis.low, axis.high))
    if axis.is_logarithmic:
        low, high = low * (low / high) ** below, high * (high / low) ** above
    else:
        low, high = low - (high - low) * below, high + (high - low) * above
    return Scale(low, high, start, end, axis.is_logarithmic)


def show_tick(value: float) -> str:
    """`0.25`, `1,000`; no more digits than a tick has."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{round(value, 6):g}"
