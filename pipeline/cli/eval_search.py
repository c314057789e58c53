"""`objseek eval search`: how well search finds what is there, and tells what is not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.cli import progress_bars
from pipeline.cli.console import err, out, print_line
from pipeline.cli.figures_file import write_figures
from pipeline.cli.tables import print_rows
from pipeline.cli.transfer_output import print_left_out
from pipeline.evaluation.masks.evaluation import Figure
from pipeline.evaluation.search.figures import SearchScores, list_depths, measure_results
from pipeline.evaluation.search.query_file import QueryLine, read_queries
from pipeline.evaluation.search.query_result import (
    SHOWS_IT,
    QueryKind,
    QueryResult,
    Verdict,
)
from pipeline.evaluation.search.query_run import QueryRun
from pipeline.evaluation.search.spread import (
    bin_probabilities,
    count_ranks,
    find_likeliest,
    list_mistaken,
    list_worst,
    trace_recall,
)
from pipeline.evaluation.search.true_objects import TrueObjects
from pipeline.messages import quantify, sanitize
from pipeline.progress import Progress
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from schemas.coco_reader import load_truth

_MOST_WORST, _MOST_MISTAKEN, _MOST_INSTEAD = 10, 5, 3
_MOST_NAME = 48  # characters of a query in a table
_MOST_IDS = 3
_SECONDS_A_NOTE = 5.0


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Files of queries and of the truth, None: queries name objects alone; `limit` hits a query.

    A hit shows what has an IoU of `least_iou` with it. `strict`: nothing wrong in the truth.
    """

    queries: Path
    truth: Path | None = None
    limit: int = 10
    least_iou: float = 0.5
    strict: bool = False


@dataclass(frozen=True, slots=True)
class SearchRun:
    """What became of the queries of a file; see `QueryRun` and `TrueObjects`."""

    source: QuerySource
    results: Sequence[QueryResult]
    unknown_ids: Sequence[str]
    missing_images: int


def list_rows(limit: int) -> dict[str, str]:
    """What the figures are called, in their order."""
    depths = list_depths(limit)
    return {
        "success_1": "first hit right",
        **{
            f"success_{depth}": f"a right hit among the first {depth}"
            for depth in depths
            if depth > 1
        },
        **{f"recall_{depth}": f"recall, first {depth}" for depth in depths},
        "mrr": "MRR",
        **{f"ndcg_{depth}": f"nDCG, first {depth}" for depth in depths if depth > 1},
        "present_weak": "weak answers, of what is there",
        "absent_weak": "weak answers, of what is not there",
        "unlearnt_texts": "texts for what is there with words not learnt",
        "calibration_error": "calibration error of all hits",
        "first_calibration_error": "calibration error of first hits",
    }


def measure(source: QuerySource, settings: Settings, json_file: Path | None) -> None:
    """Print the tables, and write their figures to a file.

    Raises DatasetError for a file or a query that is wrong, and what opening an index and searches
    raise.
    """
    started = time.monotonic()
    run = run_queries(source, settings)
    scores = measure_results(run.results, source.limit)
    _print_run(run, scores, time.monotonic() - started)
    write_figures(_describe(run, scores), time.monotonic() - started, json_file)


def run_queries(source: QuerySource, settings: Settings) -> SearchRun:
    """Search with every query. Raises as `measure` does."""
    lines = read_queries(source.queries)
    truth = None if source.truth is None else load_truth(source.truth, strict=source.strict)
    print_left_out([] if truth is None else truth.left_out)
    with Searcher.open(settings) as searcher, progress_bars.show_progress(err()) as progress:
        true = None if truth is None else TrueObjects(truth, searcher.index)
        asking = QueryRun(searcher, true, source.limit, source.least_iou)
        asking.check(lines)
        results = list(_follow(asking, lines, progress))
    return SearchRun(source, results, asking.unknown_ids, 0 if true is None else true.missing)


def _follow(
    asking: QueryRun, lines: Sequence[QueryLine], progress: Progress
) -> Iterator[QueryResult]:
    """The results, with a note now and then of how many there are."""
    told = time.monotonic()
    for number, result in enumerate(asking.run(lines), start=1):
        if time.monotonic() - told >= _SECONDS_A_NOTE:
            told = time.monotonic()
            progress.note(f"searched {number:,} of {len(lines):,} queries")
        yield result


def _print_run(run: SearchRun, scores: SearchScores, seconds: float) -> None:
    kinds = [kind for kind in QueryKind if any(result.kind is kind for result in run.results)]
    kinds = kinds if len(kinds) > 1 else []
    rows = [
        (text, _show(scores.figures[name]), *(_show_value(scores, name, kind) for kind in kinds))
        for name, text in list_rows(run.source.limit).items()
        if name in scores.figures
    ]
    print_rows(("figure", "value (95% of resamples)", *kinds), rows)
    _print_worst(run)
    _print_notes(run)
    out().print(
        f"{scores.present:,} queries for what is there, {scores.absent:,} for what is not, "
        f"{seconds:.0f} s"
    )


def _show_value(scores: SearchScores, name: str, kind: QueryKind) -> str:
    figure = scores.figures.get(f"{name}_{kind}")
    return "n/a" if figure is None or figure.value is None else f"{figure.value:.3f}"


def _show(figure: Figure) -> str:
    if figure.value is None:
        return "n/a"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _print_worst(run: SearchRun) -> None:
    worst = [
        (
            _shorten(result.name),
            f"{sum(result.gains)} of {result.wanted}",
            str(result.first_rank or "none"),
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


def describe_instead(result: QueryResult) -> str:
    """What the first wrong hits are, those before the first right one."""
    before: list[str] = []
    for hit in result.hits:
        if hit.verdict is Verdict.RIGHT or len(before) == _MOST_INSTEAD:
            break
        if hit.verdict is Verdict.WRONG:
            before.append(hit.shows or "(something else)")
    return ", ".join(before) or "(nothing)"


def _shorten(name: str) -> str:
    """Of a long name its end: there is what tells files apart."""
    return name if len(name) <= _MOST_NAME else f"…{name[1 - _MOST_NAME :]}"


def _print_notes(run: SearchRun) -> None:
    if run.unknown_ids:
        shown = ", ".join(run.unknown_ids[:_MOST_IDS])
        _note(
            f"{quantify(len(run.unknown_ids), 'right object')} are not in the index, and count as "
            f"never found: {shown}{', …' if len(run.unknown_ids) > _MOST_IDS else ''}"
        )
    if run.missing_images:
        _note(
            f"{quantify(run.missing_images, 'image')} of the ground truth are not in the index: "
            "what they show is not looked for"
        )
    unjudged = sum(hit.verdict is Verdict.UNJUDGED for one in run.results for hit in one.hits)
    if unjudged:
        _note(
            f"{quantify(unjudged, 'hit')} count neither way: they lie in an image that the ground "
            "truth does not have, or in the query's own"
        )
    neither = sum(result.wanted is None for result in run.results)
    if neither:
        _note(
            f"{neither:,} queries count neither way: what they ask for is there, but hidden, tiny "
            "or in a crowd"
        )


def _note(text: str) -> None:
    print_line(out(), f"note: {sanitize(text)}")


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
