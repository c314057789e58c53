"""Formats figures, their intervals and what became of them, for reports and terminals."""

from __future__ import annotations

from pipeline.drawing.report.contents import Cell
from pipeline.evaluation.masks.evaluation import Figure
from pipeline.evaluation.paired import Comparison, Outcome

OUTCOMES = {Outcome.BETTER: "▲ better", Outcome.WORSE: "▼ worse", Outcome.SAME: "≈ within noise"}
NOTHING = "n/a"


def show_figure(figure: Figure) -> str:
    """`0.635 (0.601 to 0.662)`."""
    cell = make_cell(figure)
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def show_difference(comparison: Comparison) -> str:
    """`+0.012 (+0.003 to +0.020)`."""
    cell = make_difference_cell(comparison)
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def make_cell(figure: Figure) -> Cell:
    """The value, and its interval below."""
    return _make_cell(figure, "")


def make_difference_cell(comparison: Comparison) -> Cell:
    """By how much the second is higher, and whether it is better or worse."""
    cell, outcome = _make_cell(comparison.difference, "+"), comparison.outcome
    return cell if outcome is None else Cell(cell.text, cell.note, outcome.value)


def _make_cell(figure: Figure, sign: str) -> Cell:
    if figure.value is None:
        return Cell(NOTHING)
    if figure.low is None or figure.high is None:
        return Cell(f"{figure.value:{sign}.3f}")
    return Cell(f"{figure.value:{sign}.3f}", f"{figure.low:{sign}.3f} to {figure.high:{sign}.3f}")
