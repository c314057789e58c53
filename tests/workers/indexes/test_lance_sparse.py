"""Words in a Lance table: the rows that count most for them, whatever the filter, in what order."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from support.index_cases import DIM, embedded, unit

from schemas.labels import Naming
from schemas.options import IndexOptions
from schemas.points import IndexQuery, Point, PointLabels, SparseVector, TextSum
from schemas.records import WORDS_NAME
from workers.indexes.filters import EVERY_POINT, OneOf, PointFilter
from workers.indexes.lance import sparse_queries
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index

_TERMS = 12
_OBJECTS = PointFilter(must=(OneOf("kind", ("object",)),))


@pytest.fixture
def index(tmp_path: Path) -> LanceIndex:
    made = open_index(IndexOptions(location=f"lance+file://{tmp_path}/index"), DIM, create=True)
    assert isinstance(made, LanceIndex)
    made.replace_images([embedded(f"{n}.jpg", unit(n, 5)) for n in range(40)])
    rng = np.random.default_rng(0)
    items = []
    for point in made.scroll():
        terms = np.sort(rng.choice(_TERMS, 4, replace=False)).astype(np.uint32)
        words = SparseVector(terms, rng.choice([0.1, 0.5, 1.5], 4).astype(np.float32))
        items.append(PointLabels(point.id, Naming((), None), words))
    made.set_labels(items, "labeller")
    return made


def _expected(index: LanceIndex, query: SparseVector, kind: str | None, limit: int) -> list[str]:
    """The same in Python: BM25's sum over all points, ties by id."""
    points = list(index.scan(words=True))
    words = {point.id: _weights(point) for point in points}
    rarity = {}
    for term in query.indices.tolist():
        having = sum(term in each for each in words.values())
        rarity[term] = np.log1p((len(points) - having + 0.5) / (having + 0.5))
    asked = dict(zip(query.indices.tolist(), query.values.tolist(), strict=True))
    scores = {
        point.id: sum(
            np.float32(weight * rarity[term]) * words[point.id].get(term, 0.0)
            for term, weight in asked.items()
        )
        for point in points
        if (kind is None or point.payload["kind"] == kind) and asked.keys() & words[point.id].keys()
    }
    return sorted(scores, key=lambda identity: (-round(float(scores[identity]), 6), identity))[
        :limit
    ]


def _weights(point: Point) -> dict[int, float]:
    assert point.words is not None
    return dict(zip(point.words.indices.tolist(), point.words.values.tolist(), strict=True))


@pytest.mark.parametrize("limit", [1, 7, 500])
@pytest.mark.parametrize("kind", [None, "object"])
def test_the_first_by_words(index: LanceIndex, kind: str | None, limit: int) -> None:
    query = SparseVector(np.array([1, 5, 9], np.uint32), np.array([1, 1, 0.5], np.float32))
    where = EVERY_POINT if kind is None else _OBJECTS
    found = [str(identity) for identity, _ in index.find_by_sparse(WORDS_NAME, query, where, limit)]
    assert found == _expected(index, query, kind, limit)


def test_no_row_has_the_words_or_meets_the_filter(index: LanceIndex) -> None:
    query = SparseVector(np.array([99], np.uint32), np.ones(1, np.float32))
    assert index.find_by_sparse(WORDS_NAME, query, EVERY_POINT, 5) == []
    nowhere = PointFilter(must=(OneOf("bucket", ("another",)),))
    known = SparseVector(np.array([1], np.uint32), np.ones(1, np.float32))
    assert index.find_by_sparse(WORDS_NAME, known, nowhere, 5) == []


def test_a_search_for_a_text_looks_the_words_up_once(
    index: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    find = sparse_queries.find_best

    def noted(*args: object, spare: int) -> object:
        threads.append(threading.current_thread())
        return find(*args, spare=spare)  # type: ignore[arg-type]

    monkeypatch.setattr(sparse_queries, "find_best", noted)
    query = SparseVector(np.array([1, 5], np.uint32), np.ones(2, np.float32))
    text = IndexQuery(unit(99, 1)[0], 3, words=query, text_sum=TextSum("any", label_words=1.0))
    first = [hit.object_id for hit in index.search(text)]
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    assert [hit.object_id for hit in index.search(text)] == first
