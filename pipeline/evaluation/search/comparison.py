"""Compares the answers of two indexes to the same queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.evaluation.paired import Comparison, compare_figures
from pipeline.evaluation.search.figures import SearchTable, measure_ranking
from pipeline.evaluation.search.query_result import QueryKind, QueryResult

_LOWER_IS_BETTER = (
    "present_weak",
    "unlearnt_texts",
    "calibration_error",
    "first_calibration_error",
)


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A query that both have been asked, and its nDCG in each."""

    first: QueryResult
    second: QueryResult
    ndcg: tuple[float, float]

    @property
    def gain(self) -> float:
        """By how much the nDCG is higher in the second."""
        return self.ndcg[1] - self.ndcg[0]


def compare_searches(
    first: Sequence[QueryResult],
    second: Sequence[QueryResult],
    limit: int,
    note: Callable[[int], None],
) -> dict[str, Comparison]:
    """The figures of `SearchTable` for both, with the same queries in each resample.

    Results are of the same queries in the same order, of at most `limit` hits. `note` is called
    with the number of each resample.
    """
    lower = [
        name + part
        for name in _LOWER_IS_BETTER
        for part in ("", *(f"_{kind}" for kind in QueryKind))
    ]
    return compare_figures(
        SearchTable(first, limit).measure,
        SearchTable(second, limit).measure,
        len(first),
        lower_is_better=frozenset(lower),
        note=note,
    )


def list_changes(
    first: Sequence[QueryResult], second: Sequence[QueryResult], limit: int
) -> list[QueryChange]:
    """Queries for what is there whose nDCG is another in the second, the largest gain first."""
    changes = []
    for one, other in zip(first, second, strict=True):
        if one.wanted and other.wanted:
            ndcg = (_rate(one, limit), _rate(other, limit))
            changes.append(QueryChange(one, other, ndcg))
    changed = (change for change in changes if change.gain)
    return sorted(changed, key=lambda change: (-change.gain, change.first.line))


def _rate(result: QueryResult, limit: int) -> float:
    return measure_ranking(result.gains, result.wanted or 0, (limit,))[f"ndcg_{limit}"]
