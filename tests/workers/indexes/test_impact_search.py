"""What counts most for a sparse vector is found by steps, and is what all dot products say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.points import SparseVector
from workers.indexes.lance.impact_codes import (
    STEPS,
    bit_codes,
    impact_codes,
    part_bounds,
    step_bounds,
    step_code,
)
from workers.indexes.lance.impact_search import SPARE, find_best


def sparse(weights: dict[int, float]) -> SparseVector:
    indices = np.array(sorted(weights), np.uint32)
    return SparseVector(indices, np.array([weights[i] for i in sorted(weights)], np.float32))


def test_a_code_says_the_term_and_between_what_its_weight_lies() -> None:
    weights = np.array([-3, -1e-9, 1e-9, 0.0624, 0.0625, 0.7, 1.0, 5.0, 5.7, 1e6], np.float32)
    terms = np.arange(2**32 - 11, 2**32 - 1, dtype=np.uint32)
    first = impact_codes(SparseVector(terms, weights))[: len(terms)].tolist()
    lower, upper = step_bounds()
    steps = [0, 0, 1, 1, 2, 8, 10, 14, 15, 15]
    assert first == [step_code(*pair) for pair in zip(terms.tolist(), steps, strict=True)]
    assert (lower[steps] <= weights).all()
    assert (weights < upper[steps]).all()


@given(st.floats(2.0**-149, 1000, width=32))
def test_bits_say_in_which_part_of_its_step_a_weight_lies(weight: float) -> None:
    codes = impact_codes(sparse({3: weight})).tolist()
    (step,) = [step for step in range(STEPS) if step_code(3, step) in codes]
    bits = bit_codes(3, step)
    part = sum(1 << bit for bit, code in enumerate(bits) if code in codes)
    assert set(codes) <= {step_code(3, step), *bits}
    lower, upper = part_bounds(step)
    assert lower[part] <= weight <= upper[part]
    widest = 0.022 if step == STEPS - 1 else 0.002
    assert (upper[:-1] - lower[:-1] <= widest * np.maximum(lower[:-1], 0.2)).all()


def test_weights_below_0_have_no_bits() -> None:
    assert impact_codes(sparse({3: -0.5})).tolist() == [step_code(3, 0)]
    with pytest.raises(ValueError, match="below 0"):
        part_bounds(0)


def test_terms_without_weight_have_no_code() -> None:
    assert impact_codes(sparse({3: 0.0})).size == 0


_WEIGHTS = st.floats(0.015625, 9, width=32)
_ANY = st.one_of(_WEIGHTS, _WEIGHTS.map(lambda weight: -weight))


def _vectors(weights: st.SearchStrategy[float], least: int) -> st.SearchStrategy[SparseVector]:
    return st.dictionaries(st.integers(0, 12), weights, min_size=least, max_size=6).map(sparse)


@pytest.mark.parametrize("spare", [64, 4], ids=["all are scored", "parts tell rows apart"])
@pytest.mark.parametrize("weights", [_WEIGHTS, _ANY], ids=["above 0", "any"])
def test_the_best_are_those_of_all_dot_products(
    weights: st.SearchStrategy[float], spare: int
) -> None:
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(_vectors(weights, 0), min_size=1, max_size=60),
        _vectors(weights, 1),
        st.integers(1, 8),
    )
    def holds(rows: list[SparseVector], query: SparseVector, limit: int) -> None:
        dense = np.zeros((len(rows), 13))
        for row, vector in zip(dense, rows, strict=True):
            row[vector.indices] = vector.values
        asked = np.zeros(13)
        asked[query.indices] = query.values
        exact = dense @ asked
        having = np.flatnonzero((dense[:, query.indices] != 0).any(axis=1))
        codes = [impact_codes(vector) for vector in rows]

        def find_rows(wanted: object) -> list[np.ndarray]:
            return [
                np.array([n for n, each in enumerate(codes) if code in each], np.uint64)
                for code in wanted  # type: ignore[attr-defined]
            ]

        found, scores = find_best(
            query, limit, find_rows, lambda at: exact[at.astype(int)], spare=spare
        )
        best = np.sort(exact[having])[::-1][:limit]
        if spare == 64:
            assert np.allclose(scores[:limit], best)
        else:
            assert_near(scores[:limit], best, dense, query)
        assert np.allclose(scores, exact[found.astype(int)])

    holds()


def assert_near(
    scores: np.ndarray, best: np.ndarray, dense: np.ndarray, query: SparseVector
) -> None:
    """Each is as good as the best of its rank, but for a part of the step of each term."""
    assert len(scores) == len(best)
    widest = np.abs(dense[:, query.indices]).max(axis=0, initial=0)
    open_left = float((np.abs(query.values) * np.maximum(widest, 1) * 0.004).sum()) + 1e-6
    assert (scores >= best - open_left).all()


@pytest.mark.parametrize(
    ("least", "most", "scored_at_most"),
    [(0.71, 0.99, 5 + SPARE), (9.0, 900.0, 5 + SPARE), (2000.0, 9000.0, 2000)],
    ids=["in one step", "in the last step", "in the last part of all"],
)
def test_more_rows_than_are_worth_a_look_are_told_apart_by_parts(
    least: float, most: float, scored_at_most: int
) -> None:
    rng = np.random.default_rng(3)
    weights = rng.uniform(least, most, 2000).astype(np.float32)
    codes = [set(impact_codes(sparse({7: float(weight)})).tolist()) for weight in weights]
    scored: list[np.ndarray] = []

    def find_rows(wanted: list[int]) -> list[np.ndarray]:
        return [
            np.array([n for n, each in enumerate(codes) if code in each], np.uint64)
            for code in wanted
        ]

    def score_rows(at: np.ndarray) -> np.ndarray:
        scored.append(at)
        return weights[at.astype(int)].astype(np.float64)

    found, scores = find_best(sparse({7: 1.0}), 5, find_rows, score_rows)  # type: ignore[arg-type]
    assert len(scored) == 1
    assert 5 <= scored[0].size <= scored_at_most
    assert scores[:5].tolist() == np.sort(weights)[::-1][:5].astype(np.float64).tolist()
    assert (weights[found.astype(int)] == scores).all()


def test_of_rows_that_weigh_the_same_the_first_are_taken() -> None:
    codes = set(impact_codes(sparse({7: 0.8})).tolist())

    def find_rows(wanted: list[int]) -> list[np.ndarray]:
        return [np.arange(500 if code in codes else 0, dtype=np.uint64) for code in wanted]

    found, _ = find_best(sparse({7: 1.0}), 5, find_rows, lambda at: np.ones(at.size))  # type: ignore[arg-type]
    assert found.tolist() == list(range(5 + SPARE))
