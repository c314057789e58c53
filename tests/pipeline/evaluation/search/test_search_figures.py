"""The figures of search, by hand and against a plain reference."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.evaluation.presence import calibration_error
from pipeline.evaluation.search.figures import (
    SearchTable,
    list_depths,
    list_probabilities,
    measure_ranking,
    measure_results,
)
from pipeline.evaluation.search.query_result import JudgedHit, QueryKind, QueryResult, Verdict
from schemas.search import Relevance

RIGHT, AGAIN, EXTRA, WRONG, UNJUDGED = Verdict
WEAK, STRONG = Relevance.WEAK, Relevance.STRONG


def judge(
    verdicts: Sequence[Verdict],
    wanted: int | None,
    *,
    kind: QueryKind = QueryKind.TEXT,
    shares: Sequence[float | None] | None = None,
    relevance: Relevance | None = STRONG,
    learnt: bool = True,
) -> QueryResult:
    chances = shares or [0.5] * len(verdicts)
    hits = tuple(
        JudgedHit(str(place), "file:///a.jpg", None, chance, verdict)
        for place, (verdict, chance) in enumerate(zip(verdicts, chances, strict=True))
    )
    return QueryResult(1, "a query", kind, wanted, hits, relevance, learnt)


def measure(results: Sequence[QueryResult], limit: int = 10) -> dict[str, float | None]:
    return SearchTable(results, limit).measure(np.ones(len(results), np.int64))


def test_a_ranking_by_hand() -> None:
    figures = measure_ranking([False, True, False, True], 3, [1, 3, 5])
    assert figures["mrr"] == 0.5
    assert [figures[f"success_{depth}"] for depth in (1, 3, 5)] == [0, 1, 1]
    assert [figures[f"recall_{depth}"] for depth in (1, 3, 5)] == [0, 1 / 3, 2 / 3]
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert figures["ndcg_1"] == 0
    assert figures["ndcg_3"] == pytest.approx(1 / math.log2(3) / best, abs=1e-12)
    assert figures["ndcg_5"] == pytest.approx(
        (1 / math.log2(3) + 1 / math.log2(5)) / best, abs=1e-12
    )
    assert measure_ranking([True, True], 2, [1, 10]) == {
        "mrr": 1, "success_1": 1, "recall_1": 0.5, "ndcg_1": 1,
        "success_10": 1, "recall_10": 1, "ndcg_10": 1,
    }  # fmt: skip
    nothing = measure_ranking([], 4, [1, 10])
    assert set(nothing.values()) == {0}


def test_what_a_hit_is_worth_to_a_ranking() -> None:
    # Shown again it takes a place; what need not be found, or nobody has judged, takes none.
    result = judge([UNJUDGED, EXTRA, RIGHT, AGAIN, WRONG, RIGHT], 2)
    assert result.gains == (True, False, False, True)
    assert result.first_rank == 1
    assert judge([WRONG, AGAIN], 1).first_rank is None
    assert judge([], 1).gains == ()


def _reference(gains: Sequence[bool], wanted: int, depth: int) -> tuple[float, ...]:
    """Success, recall, reciprocal rank and nDCG, written out as their definitions stand."""
    success, found, reciprocal, gained = 0.0, 0, 0.0, 0.0
    for place in range(len(gains)):
        rank = place + 1
        if gains[place] and reciprocal == 0:
            reciprocal = 1 / rank
        if rank > depth:
            continue
        if gains[place]:
            success = 1.0
            found += 1
            gained += math.log(2) / math.log(rank + 1)
    ideal = 0.0
    for rank in range(1, depth + 1):
        if rank <= wanted:
            ideal += math.log(2) / math.log(rank + 1)
    return success, found / wanted, reciprocal, gained / ideal


def test_200_rankings_agree_with_a_plain_reference() -> None:
    chance = random.Random(3)
    for _ in range(200):
        limit = chance.choice([1, 3, 10, 25])
        wanted = chance.randint(1, 30)
        gains = [chance.random() < 0.3 for _ in range(chance.randint(0, limit))]
        while sum(gains) > wanted:
            gains[gains.index(True)] = False
        figures = measure_ranking(gains, wanted, list_depths(limit))
        for depth in list_depths(limit):
            success, recall, reciprocal, ndcg = _reference(gains, wanted, depth)
            assert figures[f"success_{depth}"] == success
            assert figures[f"recall_{depth}"] == pytest.approx(recall, abs=1e-9)
            assert figures[f"ndcg_{depth}"] == pytest.approx(ndcg, abs=1e-9)
            assert figures["mrr"] == pytest.approx(reciprocal, abs=1e-9)


def test_depths_end_with_the_limit() -> None:
    assert list_depths(1) == [1]
    assert list_depths(7) == [1, 5, 7]
    assert list_depths(10) == [1, 5, 10]
    assert list_depths(100) == [1, 5, 10, 100]


def test_weak_answers_count_by_what_is_there() -> None:
    results = [
        judge([RIGHT], 1),
        judge([WRONG], 1, relevance=WEAK),
        judge([], 2, relevance=None),  # nothing found is weak
        judge([WRONG], 1, relevance=WEAK, learnt=False),  # always weak: told apart
        judge([WRONG], 0, relevance=WEAK),
        judge([WRONG], 0),
        judge([WRONG], None, relevance=WEAK),  # hidden ones alone: neither
    ]
    figures = measure(results)
    assert figures["present_weak"] == pytest.approx(2 / 3)
    assert figures["absent_weak"] == 0.5
    assert figures["unlearnt_texts"] == 0.25
    assert figures["mrr"] == 0.25
    scores = measure_results(results, 10)
    assert (scores.queries, scores.present, scores.absent) == (7, 4, 2)


def test_without_a_calibration_nothing_is_weak_or_likely() -> None:
    figures = measure([judge([RIGHT, WRONG], 1, shares=[None, None], relevance=None)])
    assert figures["calibration_error"] is None
    assert "present_weak" not in figures
    assert figures["mrr"] == 1


def test_calibration_errors_are_those_of_all_hits_together() -> None:
    chance = random.Random(5)
    results = [
        judge(
            verdicts := chance.choices([RIGHT, AGAIN, EXTRA, WRONG, UNJUDGED], k=6),
            1,
            shares=[chance.choice([None, 1.0, chance.random()]) for _ in verdicts],
        )
        for _ in range(40)
    ]
    weights = np.random.default_rng(0).integers(0, 3, len(results))
    figures = SearchTable(results, 10).measure(weights)
    for name, first in (("calibration_error", 10), ("first_calibration_error", 1)):
        pairs = [
            list_probabilities(result, first)
            for result, times in zip(results, weights, strict=True)
            for _ in range(times)
        ]
        shares, right = (np.concatenate(each) for each in zip(*pairs, strict=True))
        assert figures[name] == pytest.approx(calibration_error(shares, right), abs=1e-12)


def test_a_calibration_error_by_hand() -> None:
    # In the bin of 0.9 to 1 it is 0.95 sure twice and right once, in that of 0 to 0.1 0.05 sure.
    shown = [judge([RIGHT, WRONG, WRONG], 1, shares=[0.95, 0.95, 0.05])]
    assert measure(shown)["calibration_error"] == pytest.approx((0.9 + 0.05) / 3)
    # What need not be found is right, what nobody has judged says nothing.
    shown = [judge([UNJUDGED, EXTRA], 1, shares=[0.95, 1.0])]
    assert measure(shown)["calibration_error"] == 0
    assert measure(shown)["first_calibration_error"] == 0


def test_kinds_are_told_apart_where_there_are_several() -> None:
    texts = [judge([RIGHT], 1), judge([WRONG], 1)]
    assert not any(name.endswith("_text") for name in measure(texts))
    figures = measure([*texts, judge([WRONG, RIGHT], 1, kind=QueryKind.IMAGE)])
    assert figures["mrr"] == 0.5
    assert (figures["mrr_text"], figures["mrr_image"]) == (0.5, 0.5)
    assert (figures["success_1_text"], figures["success_1_image"]) == (0.5, 0)
    assert "mrr_object" not in figures


def test_intervals_hold_the_figure_and_come_again() -> None:
    chance = random.Random(1)
    results = [
        judge(chance.choices([RIGHT, WRONG], k=5), 5, shares=[chance.random() for _ in range(5)])
        for _ in range(60)
    ]
    scores = measure_results(results, 5)
    assert scores.figures == measure_results(results, 5).figures
    for name in ("success_1", "recall_5", "mrr", "ndcg_5", "calibration_error"):
        figure = scores.figures[name]
        assert figure.low is not None
        assert figure.value is not None
        assert figure.high is not None
        assert 0 < figure.low < figure.high < 1, name
        assert figure.low - 0.05 <= figure.value <= figure.high, name  # of errors noise adds up
    assert measure_results(results, 5, samples=0).figures["mrr"].low is None
    assert measure_results([], 5).queries == 0
