"""Searches with the queries of a file, and tells how many are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.mask_reading import follow
from pipeline.cli.transfer_output import print_left_out
from pipeline.evaluation.search.query_file import read_queries
from pipeline.evaluation.search.query_result import QueryResult, Verdict
from pipeline.evaluation.search.query_run import QueryRun
from pipeline.evaluation.search.true_objects import TrueObjects
from pipeline.messages import quantify
from pipeline.search.searcher import Searcher
from schemas.coco_reader import load_truth

_MOST_IDS = 3


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
    """What became of the queries of a file, in its order; see `QueryRun` and `TrueObjects`."""

    source: QuerySource
    results: Sequence[QueryResult]
    unknown_ids: Sequence[str]
    missing_images: int

    def list_notes(self) -> list[str]:
        """What is worth knowing about figures: what counts as never found, or neither way."""
        notes = []
        if self.unknown_ids:
            shown = ", ".join(self.unknown_ids[:_MOST_IDS])
            more = ", …" if len(self.unknown_ids) > _MOST_IDS else ""
            notes.append(
                "right objects that are not in the index, and count as never found: "
                f"{len(self.unknown_ids):,}: {shown}{more}"
            )
        if self.missing_images:
            notes.append(
                "images of the ground truth that are not in the index, where nothing is looked "
                f"for: {self.missing_images:,}"
            )
        unjudged = sum(hit.verdict is Verdict.UNJUDGED for one in self.results for hit in one.hits)
        if unjudged:
            notes.append(
                f"{quantify(unjudged, 'hit')} that count neither way: in images that the ground "
                "truth does not have, or in the query's own"
            )
        neither = sum(result.wanted is None for result in self.results)
        if neither:
            notes.append(
                "queries that count neither way, as all that they ask for is hidden, tiny or in a "
                f"crowd: {neither:,}"
            )
        return notes


def run_queries(source: QuerySource, searcher: Searcher) -> SearchRun:
    """Search with every query.

    Raises DatasetError for a file or a query that is wrong, and what searches raise.
    """
    lines = read_queries(source.queries)
    truth = None if source.truth is None else load_truth(source.truth, strict=source.strict)
    print_left_out([] if truth is None else truth.left_out)
    true = None if truth is None else TrueObjects(truth, searcher.index)
    asking = QueryRun(searcher, true, source.limit, source.least_iou)
    asking.check(lines)
    results = []
    with follow(len(lines), "searched {} of {} queries") as note:
        for number, result in enumerate(asking.run(lines), start=1):
            results.append(result)
            note(number)
    return SearchRun(source, results, asking.unknown_ids, 0 if true is None else true.missing)
