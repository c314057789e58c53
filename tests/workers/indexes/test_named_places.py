"""Where indexes keep named vectors: made with an index, added to one, or told to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import models
from support.index_cases import (
    DIM,
    Vectors,
    embedded,
    make_opener,
    options_for,
    unit,
)
from support.qdrant_server import qdrant_server

from schemas.errors import UsageError
from schemas.options import IndexOptions
from schemas.points import IndexQuery, Point
from schemas.records import VECTOR_NAME
from workers.indexes.lance import upkeep
from workers.indexes.lance.index import LanceIndex
from workers.indexes.open import open_index
from workers.indexes.point_index import PointIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


def write(index: PointIndex, name: str, vectors: Vectors) -> list[Point]:
    """Give the points of an index, by id, vectors of a name beside those that they have."""
    points = sorted(index.scan(words=True, named=True), key=lambda point: point.id)
    written = [
        replace(point, named_vectors={**point.named_vectors, name: vector})
        for point, vector in zip(points, vectors, strict=False)
    ]
    index.restore(written)
    return written


def find(index: PointIndex, name: str, vector: Vectors, limit: int = 5) -> list[str]:
    return [hit.object_id for hit in index.search(IndexQuery(vector, limit, using=name))]


@pytest.mark.parametrize("kind", ["edge", "lance", "memory", "stand-in"])
def test_an_index_that_is_there_gets_a_place_for_more(kind: str, tmp_path: Path) -> None:
    opened, removed = make_opener(kind, tmp_path)
    index = opened()
    index.replace_images([embedded("a.jpg", unit(0, 6))])
    assert index.named_dims() == {}
    with pytest.raises(UsageError, match=r"\(none\), got 'title'"):
        find(index, "title", unit(0, 1, 3)[0])
    if kind != "memory":
        index.close()
    for name, dim in (("title", 3), ("poster", 20)):
        index = opened(named={name: dim})
        assert index.named_dims()[name] == dim
        points = write(index, name, unit(dim, 4, dim))
        assert find(index, name, points[2].named_vectors[name], 1) == [points[2].id]
        assert len(find(index, name, points[2].named_vectors[name])) == 4
        if kind != "memory":
            index.close()
    with pytest.raises(UsageError, match=r"expected vectors 'title' of 3 numbers, .* got .* of 4"):
        opened(named={"poster": 20, "title": 4})
    index = opened(None, create=False)
    assert index.named_dims() == {"title": 3, "poster": 20}
    index.optimize()
    for point in points:
        for name, vector in point.named_vectors.items():
            assert find(index, name, vector, 1) == [point.id]
    assert len(index.search(IndexQuery(unit(1, 1)[0], 20))) == 6
    index.close()
    removed()


def test_a_server_that_cannot_add_one_says_so() -> None:
    with qdrant_server("1.16.0") as server:
        vectors = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        server.make_collection("old", {VECTOR_NAME: vectors}, {})
        options = options_for(f"{server.url}/old")
        with pytest.raises(UsageError) as caught:
            open_index(options, DIM, create=True, named={"title": 3})
        assert str(caught.value) == (
            f"the collection 'old' at {server.url} has no place for the named vectors 'title', and "
            "a Qdrant server before 1.18 adds none to a collection that is there: name another, "
            "which is made with it"
        )
        # One that is new there has the place from the start.
        opened = open_index(options_for(f"{server.url}/new"), DIM, create=True, named={"title": 3})
        with closing(opened) as index:
            assert isinstance(index, PointIndex)
            index.replace_images([embedded("a.jpg", unit(0, 2))])
            (point, _) = write(index, "title", unit(1, 2, 3))
            assert find(index, "title", point.named_vectors["title"], 1) == [point.id]


def test_who_has_a_collection_open_finds_what_others_add() -> None:
    with qdrant_server() as server:
        options = options_for(f"{server.url}/photos")
        with closing(open_index(options, DIM, create=True)) as reader:
            assert isinstance(reader, PointIndex)
            assert reader.named_dims() == {}
            with closing(open_index(options, DIM, create=True, named={"title": 3})) as index:
                assert isinstance(index, PointIndex)
                index.replace_images([embedded("a.jpg", unit(0, 2))])
                (point, _) = write(index, "title", unit(1, 2, 3))
            assert find(reader, "title", point.named_vectors["title"], 1) == [point.id]


def test_vectors_of_others_in_a_collection_are_let_be() -> None:
    with qdrant_server() as server:
        cosine = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
        dot = models.VectorParams(size=3, distance=models.Distance.DOT)
        theirs = {VECTOR_NAME: cosine, "vector_dot": dot, "other": cosine}
        server.make_collection("theirs", theirs, {})
        with closing(open_index(options_for(f"{server.url}/theirs"), DIM)) as index:
            assert index.named_dims() == {}


def test_a_lance_table_indexes_those_columns_that_have_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ROWS_TO_INDEX", 200)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    named = {"title": 16, "poster": 16}
    with closing(open_index(options, DIM, create=True, named=named)) as index:
        assert isinstance(index, LanceIndex)
        index.replace_images([embedded(f"{n}.jpg", unit(n, 10)) for n in range(40)])
        write(index, "title", unit(1, 300, 16))
        points = write(index, "poster", unit(2, 20, 16))
        index.optimize()
        assert _indexed(index) == {"vector", "vector_title"}
        for point in points:
            for name, vector in point.named_vectors.items():
                assert find(index, name, vector, 1) == [point.id]
        assert len(find(index, "poster", points[0].named_vectors["poster"], 99)) == 20


def _indexed(index: LanceIndex) -> Sequence[str] | set[str]:
    there = index._table.latest().describe_indices()
    return {each.field_names[0] for each in there if each.field_names[0].startswith("vector")}


def test_a_lance_search_through_partitions_finds_nearly_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.indexes.lance import queries

    monkeypatch.setattr(upkeep, "_ROWS_TO_INDEX", 200)
    monkeypatch.setattr(queries, "_FEW", 10)
    options = IndexOptions(location=f"lance+file://{tmp_path}/index")
    with closing(open_index(options, DIM, create=True, named={"title": 16})) as index:
        assert isinstance(index, LanceIndex)
        index.replace_images([embedded(f"{n}.jpg", unit(n, 10)) for n in range(40)])
        points = write(index, "title", unit(1, 300, 16))
        index.optimize()
        titles = np.stack([point.named_vectors["title"] for point in points])
        query = unit(9, 1, 16)[0]
        best = [points[row].id for row in np.argsort(-(titles @ query))[:10]]
        assert len(set(find(index, "title", query, 10)) & set(best)) >= 9
