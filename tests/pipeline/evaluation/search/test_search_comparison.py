"""Two indexes asked the same, with values by hand."""

from __future__ import annotations

import math

import pytest

from pipeline.evaluation.paired import Outcome
from pipeline.evaluation.search.comparison import compare_searches, list_changes
from pipeline.evaluation.search.query_result import JudgedHit, QueryKind, QueryResult, Verdict
from schemas.search import Relevance


def answer(line: int, *right: bool, wanted: int | None = 1, weak: bool = False) -> QueryResult:
    verdicts = (Verdict.RIGHT if each else Verdict.WRONG for each in right)
    hits = tuple(JudgedHit("o", "file:///a", None, 0.5, verdict) for verdict in verdicts)
    relevance = Relevance.WEAK if weak else Relevance.STRONG
    return QueryResult(line, f"query {line}", QueryKind.TEXT, wanted, hits, relevance)


def test_figures_differ_by_query() -> None:
    first = [answer(n, False, True) for n in range(6)]
    second = [answer(n, True, False, weak=True) for n in range(6)]
    drawn: list[int] = []
    found = compare_searches(first, second, 2, drawn.append)
    assert found["mrr"].difference.value == pytest.approx(0.5)
    assert (found["mrr"].difference.low, found["mrr"].difference.high) == pytest.approx((0.5, 0.5))
    assert found["mrr"].outcome is Outcome.BETTER
    assert found["recall_2"].outcome is Outcome.SAME
    # More weak answers of what is there are worse.
    assert found["present_weak"].difference.value == 1
    assert found["present_weak"].outcome is Outcome.WORSE
    assert drawn == list(range(1, 201))


def test_queries_that_changed_are_listed_by_how_much() -> None:
    first = [answer(1, True), answer(2, False, True), answer(3, False), answer(4, True, wanted=0)]
    second = [answer(1, True), answer(2, True), answer(3, False), answer(4, False, wanted=0)]
    (change,) = list_changes(first, second, 2)
    assert change.first.line == 2
    assert change.ndcg == pytest.approx((1 / math.log2(3), 1))
    assert change.gain == pytest.approx(1 - 1 / math.log2(3))
    back = list_changes([*second[:2], answer(3, True)], [*first[:2], answer(3, True)], 2)
    assert [each.gain < 0 for each in back] == [True]
