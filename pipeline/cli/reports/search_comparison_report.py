"""Lays out the report of `eval compare --queries`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.cli.judged_search import SearchRun
from pipeline.cli.reports.comparison_report import COLUMNS, make_row, say_narrow, say_outcomes
from pipeline.cli.reports.search_figures import describe_rank, name_figures
from pipeline.cli.reports.search_plots import plot_searches
from pipeline.drawing.report.contents import Part, Report, Section, Table
from pipeline.evaluation.paired import Comparison
from pipeline.evaluation.search.comparison import QueryChange
from pipeline.evaluation.search.query_result import QueryKind

_MOST_CHANGES = 50
_INTERVALS = (
    "Below each figure is where 95% of the figures lie when queries are drawn anew with "
    "replacement, the same ones for A and B. B is called better or worse where the interval of the "
    "difference leaves out 0: that is also so for about one in twenty figures by chance alone."
)


def build_search_comparison_report(
    runs: tuple[SearchRun, SearchRun],
    figures: Mapping[str, Comparison],
    changes: Sequence[QueryChange],
    places: tuple[str, str],
) -> Report:
    """`places` say where A and B are; `changes` have the largest gain first."""
    source = runs[0].source
    notes = [
        f"Note on {name}: {note}."
        for name, run in zip("AB", runs, strict=True)
        for note in run.list_notes()
    ]
    plots = plot_searches({"A": runs[0].results, "B": runs[1].results}, source.limit)
    sections = [
        Section("Figures", _list_figures(figures, source.limit), " ".join([_INTERVALS, *notes])),
        Section("Queries", _list_changes(changes)),
        Section("Plots", plots),
    ]
    lead = (
        f"A is {places[0]}, B is {places[1]}; {len(runs[0].results):,} queries of "
        f"{source.queries}, {source.limit:,} hits each. "
        f"{say_outcomes(select_figures(figures, source.limit))}"
        f"{say_narrow(len(runs[0].results), 'queries')}"
    )
    return Report("Search in two indexes compared", lead, sections)


def select_figures(figures: Mapping[str, Comparison], limit: int) -> dict[str, Comparison]:
    """Those of all queries of which something is known, by what they are called."""
    return {
        text: figures[name]
        for name, text in name_figures(limit).items()
        if name in figures and figures[name].difference.value is not None
    }


def _list_figures(figures: Mapping[str, Comparison], limit: int) -> list[Part]:
    tables = {"Figures of all queries": select_figures(figures, limit)}
    for kind in QueryKind:
        own = {
            name.removesuffix(f"_{kind}"): each
            for name, each in figures.items()
            if name.endswith(f"_{kind}")
        }
        tables[f"Of those with {kind}s"] = select_figures(own, limit)
    return [
        Table(caption, ("figure", *COLUMNS), [make_row(text, each) for text, each in own.items()])
        for caption, own in tables.items()
        if own
    ]


def _list_changes(changes: Sequence[QueryChange]) -> list[Part]:
    gains = [change for change in changes if change.gain > 0]
    losses = [change for change in reversed(changes) if change.gain < 0]
    columns = ("query", "first right hit in A", "in B", "nDCG in A", "in B")
    return [
        Table(
            f"{caption}: {len(own):,} queries",
            columns,
            [
                (
                    change.first.name,
                    describe_rank(change.first),
                    describe_rank(change.second),
                    *(f"{value:.3f}" for value in change.ndcg),
                )
                for change in own[:_MOST_CHANGES]
            ],
        )
        for caption, own in (("Better in B", gains), ("Worse in B", losses))
        if own
    ]
