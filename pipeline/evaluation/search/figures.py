"""Measures search by judged queries in the field's figures, with intervals by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.masks.evaluation import SAMPLES, Figure, draw_weights, find_interval
from pipeline.evaluation.presence import BINS, find_bins
from pipeline.evaluation.search.query_result import (
    SHOWS_IT,
    QueryKind,
    QueryResult,
    Verdict,
)

DEPTHS = (1, 5, 10)
"""The first so many hits, as far as a search has them, are measured, and all of them."""
_SEED = 0

_Floats = npt.NDArray[np.float64]
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SearchScores:
    """Figures by name; how many queries ask for what is `present`, and for what is `absent`.

    Of the others there is some, but nothing that must be found.
    """

    queries: int
    present: int
    absent: int
    figures: Mapping[str, Figure]


def list_depths(limit: int) -> list[int]:
    """After how many of `limit` hits is measured."""
    return sorted({*(depth for depth in DEPTHS if depth <= limit), limit})


def measure_ranking(gains: Sequence[bool], wanted: int, depths: Sequence[int]) -> dict[str, float]:
    """The figures of one ranking, best first, of which `wanted` hits at most can be right.

    `success`: whether any of the first hits is right. `recall`: the share of what is wanted among
    them. `mrr`: the reciprocal rank of the first right one, 0 without any (E. M. Voorhees, "The
    TREC-8 question answering track report", 1999). `ndcg`: the discounted gain, a right hit at rank
    r counting 1 / log2(1 + r), as a share of that of the best ranking (K. Järvelin and J.
    Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002, with the discount of C.
    Burges et al., "Learning to rank using gradient descent", 2005).
    """
    places = np.flatnonzero(gains)  # from 0
    figures = {"mrr": 1 / (1 + float(places[0])) if len(places) else 0.0}
    for depth in depths:
        within = places[places < depth]
        best = _discount(np.arange(min(wanted, depth)))
        figures[f"success_{depth}"] = float(len(within) > 0)
        figures[f"recall_{depth}"] = len(within) / wanted
        figures[f"ndcg_{depth}"] = _discount(within) / best
    return figures


def _discount(places: _Int64s) -> float:
    return float((1 / np.log2(2 + places)).sum())


class SearchTable:
    """The figures of every query, to be averaged with any weights, such as those of a resample.

    Each of `results` has at most `limit` hits. Queries are the rows, in the order of `results`.
    """

    def __init__(self, results: Sequence[QueryResult], limit: int) -> None:
        self.queries = len(results)
        self._kinds = np.array([result.kind for result in results], dtype=object)
        rows = [_measure_query(result, list_depths(limit)) for result in results]
        names = dict.fromkeys(name for row in rows for name in row)
        self._values: dict[str, _Floats] = {
            name: np.array([row.get(name, np.nan) for row in rows]) for name in names
        }
        self._gaps = {
            "calibration_error": _Gaps(results, limit),
            "first_calibration_error": _Gaps(results, 1),
        }

    def measure(self, weights: _Int64s) -> dict[str, float | None]:
        """The figures with each query counting `weights` times, int64 (queries,).

        With several kinds of queries also those of each kind, as `mrr_text`.
        """
        figures = self._measure(weights)
        kinds = [kind for kind in QueryKind if (self._kinds == kind).any()]
        for kind in kinds if len(kinds) > 1 else ():
            own = self._measure(np.where(self._kinds == kind, weights, 0))
            figures |= {f"{name}_{kind}": value for name, value in own.items()}
        return figures

    def _measure(self, weights: _Int64s) -> dict[str, float | None]:
        means = {name: _average(values, weights) for name, values in self._values.items()}
        return means | {name: gaps.measure(weights) for name, gaps in self._gaps.items()}


def _measure_query(result: QueryResult, depths: Sequence[int]) -> dict[str, float]:
    """What a query adds to means; what it says nothing of is missing."""
    figures = measure_ranking(result.gains, result.wanted, depths) if result.wanted else {}
    if result.wanted is None:
        return figures
    there = "present" if result.wanted else "absent"
    if result.learnt and result.is_weak is not None:
        figures[f"{there}_weak"] = float(result.is_weak)
    if result.wanted and result.kind is QueryKind.TEXT:
        figures["unlearnt_texts"] = float(not result.learnt)
    return figures


def _average(values: _Floats, weights: _Int64s) -> float | None:
    known = ~np.isnan(values)
    total = weights[known].sum()
    return float(values[known] @ weights[known] / total) if total else None


class _Gaps:
    """Of each query and bin: the sum of its first hits' probabilities, less those that are right.

    The expected calibration error is the share of all hits that the sums of these are in size; see
    `presence.calibration_error`, which gives the same.
    """

    def __init__(self, results: Sequence[QueryResult], first: int) -> None:
        self._gaps = np.zeros((len(results), BINS))
        self._hits = np.zeros(len(results), np.int64)
        for row, result in enumerate(results):
            shares, right = list_probabilities(result, first)
            np.add.at(self._gaps[row], find_bins(shares), shares - right)
            self._hits[row] = len(shares)

    def measure(self, weights: _Int64s) -> float | None:
        hits = int(self._hits @ weights)
        return float(np.abs(weights @ self._gaps).sum() / hits) if hits else None


def list_probabilities(result: QueryResult, first: int) -> tuple[_Floats, npt.NDArray[np.bool_]]:
    """How likely the first hits are called, and whether they show what was searched for; both (n,).

    Hits that nobody has judged take no place; those without a probability are left out.
    """
    judged = [hit for hit in result.hits if hit.verdict is not Verdict.UNJUDGED][:first]
    known = [
        (hit.probability, hit.verdict in SHOWS_IT) for hit in judged if hit.probability is not None
    ]
    shares = np.array([share for share, _ in known], np.float64)
    return shares, np.array([right for _, right in known], np.bool_)


def measure_results(
    results: Sequence[QueryResult], limit: int, samples: int = SAMPLES
) -> SearchScores:
    """All figures; without samples no interval."""
    table, random = SearchTable(results, limit), np.random.default_rng(_SEED)
    values = table.measure(np.ones(len(results), np.int64))
    drawn = [
        table.measure(draw_weights(random, len(results))) for _ in range(samples if results else 0)
    ]
    figures = {
        name: Figure(value, *find_interval([each[name] for each in drawn]))
        for name, value in values.items()
    }
    present = sum(bool(result.wanted) for result in results)
    absent = sum(result.wanted == 0 for result in results)
    return SearchScores(len(results), present, absent, figures)
