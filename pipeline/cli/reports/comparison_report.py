"""Lays out the report of `eval compare`, and says in words what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.cli.reports.change_pictures import LEGEND
from pipeline.cli.reports.figure_cells import make_cell, make_difference_cell
from pipeline.cli.reports.mask_figures import GROUPS
from pipeline.cli.reports.mask_plots import plot_masks
from pipeline.drawing.report.contents import (
    Axis,
    Cell,
    Gallery,
    Part,
    Plot,
    Report,
    Section,
    Series,
    Table,
)
from pipeline.evaluation.masks.changes import LEAST_CHANGE, MATCH_IOU
from pipeline.evaluation.masks.comparison import MaskComparison
from pipeline.evaluation.masks.detections import Floats
from pipeline.evaluation.paired import Comparison, Outcome
from pipeline.messages import quantify

COLUMNS = ("A", "B", "B less A")
_MOST_CLASSES = 100
_MOST_DOTS = 1000
_FEW_UNITS = 20
_INTERVALS = (
    "Below each figure is where 95% of the figures lie when images are drawn anew with "
    "replacement, the same ones for A and B. B is called better or worse where the interval of the "
    "difference leaves out 0: that is also so for about one in twenty figures by chance alone."
)


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    """How many true objects have a better best mask in B, a worse one, or one in one run alone."""

    better: int
    worse: int
    only_first: int
    only_second: int


def count_changes(ious: Floats) -> ChangeCounts:
    """Of IoUs, (objects, 2): by more than little, and of an IoU of 0.5 or more."""
    gains, found = ious[:, 1] - ious[:, 0], ious >= MATCH_IOU
    counts = (
        gains >= LEAST_CHANGE,
        gains <= -LEAST_CHANGE,
        found[:, 0] & ~found[:, 1],
        found[:, 1] & ~found[:, 0],
    )
    return ChangeCounts(*(int(np.count_nonzero(each)) for each in counts))


def say_outcomes(figures: Mapping[str, Comparison]) -> str:
    """In how many figures B is better, and in how many it is worse."""
    counts = Counter(each.outcome for each in figures.values())
    total = sum(counts[outcome] for outcome in Outcome)
    if not total:
        return "There are too few images to tell a difference from noise."
    return (
        f"Of {quantify(total, 'figure')} B is better in {counts[Outcome.BETTER]}, worse in "
        f"{counts[Outcome.WORSE]}, and within noise in {counts[Outcome.SAME]}."
    )


def say_changes(ious: Floats) -> str:
    """How many objects gained and lost."""
    counts = count_changes(ious)
    return (
        f"Of {quantify(len(ious), 'true object')}, by the IoU of their best masks: better in B by "
        f"{LEAST_CHANGE:g} or more {counts.better:,}, worse {counts.worse:,}; found (IoU "
        f"{MATCH_IOU:g}) in B alone {counts.only_second:,}, in A alone {counts.only_first:,}."
    )


def say_narrow(units: int, what: str) -> str:
    """A sentence more, where there are few of what was drawn anew."""
    return f" Intervals of so few {what} are too narrow." if 1 < units < _FEW_UNITS else ""


def build_comparison_report(
    compared: MaskComparison,
    places: tuple[str, str, str],
    names: Mapping[int, str],
    galleries: Sequence[Gallery],
) -> Report:
    """`places` say where A, B and the truth are from, `names` those of classes."""
    first, second = compared.scores
    ious = compared.changes.join()
    spreads = {"A": first.spread, "B": second.spread}
    plots: list[Part] = [*_plot_changes(ious), *plot_masks(spreads)]
    text = say_changes(ious) + (f" {LEGEND}" if galleries else "")
    sections = [
        Section("Figures", _list_tables(compared.figures), _INTERVALS),
        Section("Objects", list(galleries), text),
        Section("Plots", plots),
    ]
    classes = _list_classes(compared, names)
    if classes.rows:
        sections.append(Section("Classes", [classes], _INTERVALS))
    lead = (
        f"A is {places[0]} with {quantify(first.found, 'mask')}, B is {places[1]} with "
        f"{second.found:,}; both against {first.true:,} true ones of {places[2]}, in "
        f"{quantify(first.images, 'image')}. {say_outcomes(compared.figures)}"
    )
    lead += say_narrow(first.images, "images")
    return Report("Two runs compared", lead, sections)


def _list_tables(figures: Mapping[str, Comparison]) -> list[Table]:
    tables = []
    for caption, group in GROUPS.items():
        rows = [
            make_row(text, figures[name])
            for name, text in group.items()
            if name in figures and _is_known(figures[name])
        ]
        if rows:
            tables.append(Table(caption, ("figure", *COLUMNS), rows))
    return tables


def _is_known(comparison: Comparison) -> bool:
    return comparison.first.value is not None or comparison.second.value is not None


def make_row(name: str, comparison: Comparison) -> tuple[str | Cell, ...]:
    """A figure of A and B, and their difference."""
    return (
        name,
        make_cell(comparison.first),
        make_cell(comparison.second),
        make_difference_cell(comparison),
    )


def _list_classes(compared: MaskComparison, names: Mapping[int, str]) -> Table:
    """AP of each class, those of the most true pixels first."""
    pixels = {one.category: one.true_px for one in compared.scores[0].pixels.classes}
    numbers = sorted(compared.classes, key=lambda number: -pixels.get(number, 0))
    rows = [
        make_row(names[number], compared.classes[number])
        for number in numbers[:_MOST_CLASSES]
        if number in names
    ]
    return Table("AP by class", ("class", *COLUMNS), rows)


def _plot_changes(ious: Floats) -> list[Plot]:
    """Each true object by the IoU of its best mask in A and in B."""
    if not len(ious):
        return []
    chosen = ious
    text = ""
    if len(ious) > _MOST_DOTS:
        places = np.random.default_rng(0).choice(len(ious), _MOST_DOTS, replace=False)
        chosen = ious[np.sort(places)]
        text = f"{_MOST_DOTS:,} of {len(ious):,} objects, drawn at random."
    above = np.count_nonzero(ious[:, 1] > ious[:, 0])
    below = np.count_nonzero(ious[:, 1] < ious[:, 0])
    return [
        Plot(
            "IoU of each object's best mask",
            f"{above:,} of {len(ious):,} objects lie above the diagonal, {below:,} below",
            Axis("IoU in A", 0, 1),
            Axis("IoU in B", 0, 1),
            [Series("a true object", chosen[:, 0].tolist(), chosen[:, 1].tolist(), "dots")],
            "the same in A and B: above it B is better",
            text,
        )
    ]
