"""Searching from Python by vectors and sparse vectors of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.colour_world import build_index
from support.sparse_world import BLUE, COLOURS, PINK, RED, forbid_models, write_sparse

import objseek
from objseek import Index, SearchResult
from schemas.errors import UsageError
from schemas.sparse_terms import SparseTerms


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    settings = build_index(tmp_path_factory.mktemp("python"))
    write_sparse(settings)
    with objseek.connect(settings.index.location) as connected:
        yield connected


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_models(monkeypatch)


def squares(hits: SearchResult) -> list[tuple[str, tuple[int, ...]]]:
    return [(hit.uri.rpartition("/")[2], hit.bbox_xyxy) for hit in hits]


@pytest.mark.parametrize(
    "vector",
    [
        COLOURS[RED],
        [*COLOURS[RED]],
        np.array(COLOURS[RED], np.float32),
        np.array([COLOURS[RED]], np.float64),
    ],
)
def test_a_vector_in_any_form_finds_the_nearest(index: Index, vector: Any) -> None:
    hits = index.search(vector=vector)
    assert squares(hits)[:2] == [RED, PINK]
    assert [hit.probability for hit in hits] == [None] * 4


@pytest.mark.parametrize(
    "sparse",
    [
        {1: 2.0, 2: 1.0},
        {np.uint32(1): np.float32(2.0), 2: 1.0},
        ([1, 2], [2.0, 1.0]),
        (np.array([2, 1], np.uint32), np.array([1.0, 2.0], np.float32)),
        SparseTerms(indices=(1, 2), values=(2.0, 1.0)),
    ],
)
def test_a_sparse_vector_in_any_form_ranks_by_the_dot_product(index: Index, sparse: Any) -> None:
    hits = index.search(sparse=sparse)
    assert squares(hits) == [PINK, RED, BLUE]
    assert [hit.score for hit in hits] == [3.0, 2.0, 1.5]
    assert squares(index.search(sparse=sparse, filter="area>1700", limit=1)) == [BLUE]


def test_a_vector_finds_whole_images_as_well(index: Index) -> None:
    kinds = {
        kind: {hit.payload.kind for hit in index.search(vector=COLOURS[RED], kind=kind)}
        for kind in ("auto", "object", "image", None)
    }
    assert kinds == {
        "auto": {"object"}, "object": {"object"}, "image": {"image"}, None: {"image", "object"}
    }  # fmt: skip


def test_both_are_fused(index: Index) -> None:
    hits = index.search(vector=COLOURS[BLUE], sparse={1: 1.0})
    assert squares(hits)[0] == PINK


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"vector": [1.0, 2.0]}, "a vector of 4 numbers, as those of the index, got 2"),
        ({"vector": np.zeros(4)}, "finite numbers that are not all zero"),
        ({"vector": [np.nan] * 4}, "finite numbers that are not all zero"),
        ({"vector": np.ones((2, 4))}, r"one vector to search with, \(dim,\), got shape \(2, 4\)"),
        ({"vector": "red"}, "expected a vector of numbers to search with"),
        ({"sparse": {1: 0.0}}, "the sparse vector is wrong: expected values that are finite"),
        ({"sparse": {}}, "the sparse vector is wrong: indices: Tuple should have at least 1"),
        ({"sparse": {-1: 1.0}}, "the sparse vector is wrong: indices.0: Input should be greater"),
        ({"sparse": ([1, 1], [1.0, 1.0])}, "the sparse vector is wrong: expected each index once"),
        ({"sparse": [1, 2, 3]}, "as indices and weights, got list"),
        ({"sparse": 5}, "as indices and weights, got int"),
    ],
)
def test_a_wrong_one_is_a_sentence(index: Index, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        index.search(**asked)
