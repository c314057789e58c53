"""Plots shares with their intervals, for reports of masks and of search."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.drawing.report.contents import Series
from pipeline.evaluation.shares import Share

INTERVALS = "Lines are where 95% of such shares lie."


def make_points(name: str, shares: Sequence[Share]) -> Series:
    """A point for each, with the line of its interval."""
    return Series(
        name,
        [each.centre for each in shares],
        [each.share for each in shares],
        "points",
        [each.low for each in shares],
        [each.high for each in shares],
    )
