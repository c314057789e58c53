"""`objseek eval compare --queries`: how differently two indexes answer the same queries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.cli.console import out, print_line
from pipeline.cli.eval_compare import describe_figure, show_row
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.judged_search import QuerySource, SearchRun, run_queries
from pipeline.cli.mask_reading import follow
from pipeline.cli.reports.comparison_report import say_outcomes
from pipeline.cli.reports.search_comparison_report import (
    build_search_comparison_report,
    select_figures,
)
from pipeline.cli.reports.search_figures import describe_rank
from pipeline.cli.tables import print_rows
from pipeline.drawing.report.report_file import write_report
from pipeline.evaluation.paired import Comparison
from pipeline.evaluation.resampling import SAMPLES
from pipeline.evaluation.search.comparison import QueryChange, compare_searches, list_changes
from pipeline.messages import sanitize
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings

_MOST_SHOWN = 5


def measure(
    places: tuple[str, str],
    source: QuerySource,
    settings: Settings,
    target: FiguresTarget,
    report: Path | None,
) -> None:
    """Print the tables, and write their figures to a file and a report.

    `places` are two indexes. Raises DatasetError for a file or a query that is wrong, and what
    opening an index and searches raise.
    """
    started = time.monotonic()
    first, second = (_search(place, source, settings) for place in places)
    with follow(SAMPLES, "drew the queries anew {} of {} times") as note:
        figures = compare_searches(first.results, second.results, source.limit, note)
    changes = list_changes(first.results, second.results, source.limit)
    seconds = time.monotonic() - started
    _print_comparison((first, second), figures, changes, seconds)
    write_figures(_describe(places, len(first.results), figures, changes), seconds, target)
    if report is not None:
        page = build_search_comparison_report((first, second), figures, changes, places)
        write_report(report, page)


def _search(place: str, source: QuerySource, settings: Settings) -> SearchRun:
    index = settings.index.model_copy(update={"location": place})
    with Searcher.open(settings.model_copy(update={"index": index})) as searcher:
        return run_queries(source, searcher)


def _print_comparison(
    runs: tuple[SearchRun, SearchRun],
    figures: Mapping[str, Comparison],
    changes: Sequence[QueryChange],
    seconds: float,
) -> None:
    shown = select_figures(figures, runs[0].source.limit)
    columns = ("figure", "B is", "B less A (95% of resamples)", "A", "B")
    print_rows(columns, [(text, *show_row(each)) for text, each in shown.items()], stacked=2)
    gains = [change for change in changes if change.gain > 0]
    losses = [change for change in reversed(changes) if change.gain < 0]
    for title, own in (("largest gains", gains), ("largest losses", losses)):
        rows = [
            (describe_rank(change.first), describe_rank(change.second), change.first.name)
            for change in own[:_MOST_SHOWN]
        ]
        if rows:
            print_rows(("first right hit in A", "in B", title), rows)
    for name, run in zip("AB", runs, strict=True):
        for note in run.list_notes():
            print_line(out(), f"note on {name}: {sanitize(note)}")
    print_line(out(), say_outcomes(shown))
    out().print(
        f"{len(runs[0].results):,} queries, {len(gains):,} better in B and {len(losses):,} worse, "
        f"{seconds:.0f} s"
    )


def _describe(
    places: tuple[str, str],
    queries: int,
    figures: Mapping[str, Comparison],
    changes: Sequence[QueryChange],
) -> dict[str, object]:
    return {
        "first": places[0],
        "second": places[1],
        "queries": queries,
        "search": {name: describe_figure(each) for name, each in figures.items()},
        "changes": [
            {
                "line": change.first.line,
                "name": change.first.name,
                "first_right": [change.first.first_rank, change.second.first_rank],
                "ndcg": change.ndcg,
            }
            for change in changes
        ],
    }
