"""`objseek eval search`: how well search finds what is there, and tells what is not."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from pipeline.cli.console import out, print_line
from pipeline.cli.figures_file import FiguresTarget, write_figures
from pipeline.cli.judged_search import QuerySource, SearchRun, run_queries
from pipeline.cli.reports.figure_cells import NOTHING, show_figure
from pipeline.cli.reports.hit_pictures import draw_worst
from pipeline.cli.reports.search_figures import (
    describe_found,
    describe_instead,
    describe_rank,
    name_figures,
)
from pipeline.cli.reports.search_report import build_search_report
from pipeline.cli.tables import print_rows
from pipeline.drawing.report.report_file import write_report
from pipeline.evaluation.search.figures import SearchScores, measure_results
from pipeline.evaluation.search.query_result import SHOWS_IT, QueryKind, QueryResult
from pipeline.evaluation.search.spread import (
    bin_probabilities,
    count_ranks,
    find_likeliest,
    list_mistaken,
    list_worst,
    trace_recall,
)
from pipeline.messages import sanitize
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings

_MOST_WORST, _MOST_MISTAKEN = 10, 5
_MOST_NAME = 48  # characters of a query in a table


def measure(
    source: QuerySource, settings: Settings, target: FiguresTarget, report_file: Path | None
) -> None:
    """Print the tables, and write their figures to a file, and a report to another.

    Raises DatasetError for a file or a query that is wrong, and what opening an index and searches
    raise.
    """
    started = time.monotonic()
    with Searcher.open(settings) as searcher:
        run = run_queries(source, searcher)
        galleries = [] if report_file is None else draw_worst(run.results, searcher, settings)
    scores = measure_results(run.results, source.limit)
    seconds = time.monotonic() - started
    _print_run(run, scores, seconds)
    write_figures(_describe(run, scores), seconds, target)
    if report_file is not None:
        place = settings.index.location
        write_report(report_file, build_search_report(run, scores, place, galleries))
        print_line(out(), f"report: {report_file}")


def _print_run(run: SearchRun, scores: SearchScores, seconds: float) -> None:
    kinds = [kind for kind in QueryKind if any(result.kind is kind for result in run.results)]
    kinds = kinds if len(kinds) > 1 else []
    rows = [
        (
            text,
            show_figure(scores.figures[name]),
            *(_show_value(scores, f"{name}_{kind}") for kind in kinds),
        )
        for name, text in name_figures(run.source.limit).items()
        if name in scores.figures
    ]
    print_rows(("figure", "value (95% of resamples)", *kinds), rows)
    _print_worst(run)
    for note in run.list_notes():
        print_line(out(), f"note: {sanitize(note)}")
    out().print(
        f"{scores.present:,} queries for what is there, {scores.absent:,} for what is not, "
        f"{seconds:.0f} s"
    )


def _show_value(scores: SearchScores, name: str) -> str:
    figure = scores.figures.get(name)
    return NOTHING if figure is None or figure.value is None else f"{figure.value:.3f}"


def _print_worst(run: SearchRun) -> None:
    worst = [
        (
            _shorten(result.name),
            describe_found(result),
            describe_rank(result),
            describe_instead(result),
        )
        for result in list_worst(run.results, _MOST_WORST)
    ]
    if worst:
        print_rows(("worst queries", "found", "first right hit", "before it"), worst)
    mistaken = [
        (_shorten(result.name), f"{find_likeliest(result):.2f}", describe_instead(result))
        for result in list_mistaken(run.results, _MOST_MISTAKEN)
    ]
    if mistaken:
        print_rows(("not there, and called likely", "how likely", "found"), mistaken)


def _shorten(name: str) -> str:
    """Of a long name its end: there is what tells files apart."""
    return name if len(name) <= _MOST_NAME else f"…{name[1 - _MOST_NAME :]}"


def _describe(run: SearchRun, scores: SearchScores) -> dict[str, object]:
    return {
        "queries": scores.queries,
        "present": scores.present,
        "absent": scores.absent,
        "limit": run.source.limit,
        "iou": run.source.least_iou,
        "search": {name: asdict(figure) for name, figure in scores.figures.items()},
        "recall": trace_recall(run.results, run.source.limit),
        "first_right": [
            {"rank": rank, "queries": count} for rank, count in count_ranks(run.results).items()
        ],
        "calibration": [asdict(each) for each in bin_probabilities(run.results)],
        "unknown_ids": list(run.unknown_ids),
        "missing_images": run.missing_images,
        "results": [_describe_result(result) for result in run.results],
    }


def _describe_result(result: QueryResult) -> dict[str, object]:
    return {
        "line": result.line,
        "name": result.name,
        "kind": result.kind,
        "wanted": result.wanted,
        "found": sum(result.gains),
        "first_right": result.first_rank,
        "weak": result.is_weak,
        "hits": [{**asdict(hit), "right": hit.verdict in SHOWS_IT} for hit in result.hits],
    }
