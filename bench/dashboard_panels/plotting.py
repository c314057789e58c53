"""Makes a plot of the curves of a panel: stacked or not, in a unit that fits, by the clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.dashboard_panels.curves import Curve
from bench.dashboard_panels.dashboard import Panel, Window
from bench.dashboard_panels.units import choose_measure
from pipeline.drawing.report.contents import Axis, Plot, Series


def plot_panel(panel: Panel, curves: Sequence[Curve], window: Window) -> Plot:
    """The plot of curves of which there is at least one; its x-axis is in minutes of the day."""
    layers = _stack(curves) if panel.is_stacked else [(None, curve.values) for curve in curves]
    highest = max(value for _, tops in layers for value in tops if math.isfinite(value))
    measure = choose_measure(panel.unit, highest if panel.high is None else panel.high)
    first_s = _count_midnight(window)
    minutes = [(at - first_s) / 60 for at in window.list_times()]
    shown = [
        Series(
            curve.name,
            minutes,
            [value / measure.factor for value in tops],
            "area",
            lows=() if lows is None else [value / measure.factor for value in lows],
        )
        for curve, (lows, tops) in zip(curves, layers, strict=True)
    ]
    low = None if panel.low is None else panel.low / measure.factor
    high = None if panel.high is None else panel.high / measure.factor
    if high is None and highest <= (panel.low or 0.0):
        high = 1.0  # as nothing but zeros has no height
    start, end = ((each - first_s) / 60 for each in (window.start_s, window.end_s))
    return Plot(
        title=panel.title,
        alt=", ".join(curve.name for curve in curves),
        x=Axis("", start, end, show=show_clock),
        y=Axis("", low, high, show=measure.show),
        series=shown,
    )


def show_clock(minutes: float) -> str:
    """A time of the day: `9:05`, or `9:05:30` within a minute."""
    seconds = round(minutes * 60)
    text = f"{seconds // 3600 % 24}:{seconds // 60 % 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text


def _count_midnight(window: Window) -> float:
    """When the day of the window's start began, in UTC."""
    start = datetime.fromtimestamp(window.start_s, UTC)
    return start.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _stack(curves: Sequence[Curve]) -> list[tuple[list[float], list[float]]]:
    """Lower and upper edges of curves that lie on each other; a gap of one is nothing below others.

    Upper edges have the gaps of their curves.
    """
    below = [0.0] * len(curves[0].values)
    layers = []
    for curve in curves:
        tops = [low + value for low, value in zip(below, curve.values, strict=True)]
        layers.append((below, tops))
        below = [top if math.isfinite(top) else low for low, top in zip(below, tops, strict=True)]
    return layers
