"""What counts most for a sparse vector is found by steps, and is what all dot products say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.points import SparseVector
from workers.indexes.lance.impact_codes import STEPS, impact_codes, step_bounds
from workers.indexes.lance.impact_search import find_best


def sparse(weights: dict[int, float]) -> SparseVector:
    indices = np.array(sorted(weights), np.uint32)
    return SparseVector(indices, np.array([weights[i] for i in sorted(weights)], np.float32))


def test_a_code_says_the_term_and_between_what_its_weight_lies() -> None:
    weights = np.array([-3, -1e-9, 1e-9, 0.0624, 0.0625, 0.7, 1.0, 5.0, 5.7, 1e6], np.float32)
    terms = np.arange(2**32 - 11, 2**32 - 1, dtype=np.uint32)
    codes = impact_codes(SparseVector(terms, weights))
    assert (codes // STEPS).tolist() == terms.tolist()
    lower, upper = step_bounds()
    steps = codes % STEPS
    assert (lower[steps] <= weights).all()
    assert (weights < upper[steps]).all()
    assert steps.tolist() == [0, 0, 1, 1, 2, 8, 10, 14, 15, 15]


def test_terms_without_weight_have_no_code() -> None:
    assert impact_codes(sparse({3: 0.0})).size == 0


_WEIGHTS = st.floats(0.015625, 9, width=32)
_ANY = st.one_of(_WEIGHTS, _WEIGHTS.map(lambda weight: -weight))


def _vectors(weights: st.SearchStrategy[float], least: int) -> st.SearchStrategy[SparseVector]:
    return st.dictionaries(st.integers(0, 12), weights, min_size=least, max_size=6).map(sparse)


@pytest.mark.parametrize("weights", [_WEIGHTS, _ANY], ids=["above 0", "any"])
def test_the_best_are_those_of_all_dot_products(weights: st.SearchStrategy[float]) -> None:
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

        found, scores = find_best(query, limit, find_rows, lambda at: exact[at.astype(int)])
        assert np.allclose(scores[:limit], np.sort(exact[having])[::-1][:limit])
        assert np.allclose(scores, exact[found.astype(int)])

    holds()


def test_rows_of_little_weight_are_not_read_where_enough_have_more() -> None:
    read: list[int] = []

    def find_rows(codes: list[int]) -> list[np.ndarray]:
        read.extend(codes)
        return [np.arange(20, dtype=np.uint64) if code == 7 * STEPS + 15 else np.zeros(0, np.uint64)
                for code in codes]  # fmt: skip

    found, _ = find_best(sparse({7: 1.0}), 5, find_rows, lambda at: np.ones(at.size))  # type: ignore[arg-type]
    assert found.size == 20
    assert min(code % STEPS for code in read if code % STEPS) > 10
