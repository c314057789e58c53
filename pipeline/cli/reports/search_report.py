"""Lays out the report of `eval search`."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cli.judged_search import SearchRun
from pipeline.cli.reports.figure_cells import NOTHING, make_cell
from pipeline.cli.reports.search_figures import (
    describe_found,
    describe_instead,
    describe_rank,
    name_figures,
)
from pipeline.cli.reports.search_plots import plot_search
from pipeline.drawing.report.contents import Cell, Gallery, Part, Report, Section, Table
from pipeline.evaluation.search.figures import SearchScores
from pipeline.evaluation.search.query_result import QueryKind
from pipeline.evaluation.search.spread import find_likeliest, list_mistaken, list_worst

_MOST_WORST = 50
_INTERVALS = (
    "Below each figure is where 95% of the figures lie when queries are drawn anew with "
    "replacement: what differs by less may be chance."
)


def build_search_report(
    run: SearchRun, scores: SearchScores, place: str, galleries: Sequence[Gallery]
) -> Report:
    """`place` says where the index is; `galleries` are of the worst queries."""
    limit = run.source.limit
    notes = [f"Note: {note}." for note in run.list_notes()]
    sections = [
        Section("Figures", [_list_figures(scores, limit)], " ".join([_INTERVALS, *notes])),
        Section("Plots", plot_search(run.results, limit)),
    ]
    worst = _list_worst(run)
    if worst or galleries:
        sections.append(Section("Worst queries", [*worst, *galleries]))
    lead = (
        f"{scores.queries:,} queries of {run.source.queries} to {place}, {limit:,} hits each: "
        f"{scores.present:,} for what is there, {scores.absent:,} for what is not. "
        f"{_say_most(scores, limit)}"
    )
    return Report("How well search finds", lead, sections)


def _say_most(scores: SearchScores, limit: int) -> str:
    first, any_of_them = (scores.figures.get(f"success_{depth}") for depth in (1, limit))
    if first is None or any_of_them is None or first.value is None or any_of_them.value is None:
        return "None asks for what is there."
    return (
        f"For {first.value:.0%} of the former the first hit is right, for {any_of_them.value:.0%} "
        f"one of {limit:,}."
    )


def _list_figures(scores: SearchScores, limit: int) -> Table:
    kinds = [kind for kind in QueryKind if f"calibration_error_{kind}" in scores.figures]
    rows: list[tuple[str | Cell, ...]] = [
        (text, *(_make_cell(scores, name + part) for part in ("", *(f"_{kind}" for kind in kinds))))
        for name, text in name_figures(limit).items()
        if name in scores.figures
    ]
    columns = ("figure", "all", *kinds) if kinds else ("figure", "value")
    return Table("Figures of queries", columns, rows)


def _make_cell(scores: SearchScores, name: str) -> Cell:
    return make_cell(scores.figures[name]) if name in scores.figures else Cell(NOTHING)


def _list_worst(run: SearchRun) -> list[Part]:
    worst = [
        (result.name, describe_found(result), describe_rank(result), describe_instead(result))
        for result in list_worst(run.results, _MOST_WORST)
    ]
    mistaken = [
        (result.name, f"{find_likeliest(result):.2f}", describe_instead(result))
        for result in list_mistaken(run.results, _MOST_WORST)
    ]
    tables: list[Part] = []
    if worst:
        heading = ("query", "found", "first right hit", "before it")
        tables.append(Table("Not first, or not at all", heading, worst))
    if mistaken:
        tables.append(
            Table("Not there, and called likely", ("query", "how likely", "found"), mistaken)
        )
    return tables
