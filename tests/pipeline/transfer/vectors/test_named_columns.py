"""Several vectors a row: which columns they are, which rows are refused, what an index has then."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import QdrantClient, models
from support import vector_files, vector_world
from support.qdrant_server import qdrant_server

from pipeline.transfer.vectors.columns import ColumnMapping, choose_columns, parse_columns
from schemas.errors import DatasetError, UsageError
from schemas.points import IndexQuery
from workers.indexes.open import open_index

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")

_FLOATS = pa.list_(pa.float32())
_TEXT = pa.string()
TITLES = np.random.default_rng(5).normal(size=(6, 12))


def guess(told: str = "", **columns: pa.DataType) -> ColumnMapping:
    return choose_columns(pa.schema(list(columns.items())), parse_columns(told))


def test_further_vectors_are_guessed_by_name_or_by_their_length() -> None:
    mapping = guess(
        uri=_TEXT,
        embedding=_FLOATS,
        title_vector=_FLOATS,
        poster=pa.list_(pa.float16(), 16),
        place=pa.list_(pa.float64(), 2),
        scores=_FLOATS,
        clip=pa.list_(pa.float32(), 8),
    )
    assert mapping.named == {"title_vector": "title_vector", "poster": "poster", "clip": "clip"}
    assert set(mapping.left_out) == {"place", "scores"}
    assert mapping.read == ("embedding", "uri", "title_vector", "poster", "clip")
    whys = {each.field: each.why for each in mapping.choices}
    assert whys["vector.poster"] == "a further vector, fixed_size_list<item: halffloat>[16]"


def test_what_is_told_stands_over_that() -> None:
    columns = {"uri": _TEXT, "clip": _FLOATS, "title_vec": _FLOATS, "numbers": _FLOATS}
    mapping = guess("vector=clip,vector.title=title_vec,vector.n=numbers", **columns)
    assert mapping.named == {"title": "title_vec", "n": "numbers"}
    assert mapping.left_out == {}
    none = guess("vector=clip,vector.title_vec=", **columns)
    assert none.named == {}
    assert none.left_out["title_vec"].startswith("a further vector")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("vector.=clip", "vector. in --columns: expected a name of letters, digits and underscor"),
        ("vector.a b=clip", "vector.a b in --columns: expected a name of letters"),
        ("vector.t=none", "expected a column for vector.t among uri, clip, title, got 'none'"),
        ("vector.t=title", "expected lists of numbers in the column 'title', got string"),
        ("vectors.t=title", "expected FIELD=COLUMN in --columns, with one of vector, uri"),
    ],
)
def test_what_is_told_wrongly_is_a_sentence(told: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        guess(told, uri=_TEXT, clip=_FLOATS, title=_TEXT)


def bring(tmp_path: Path, place: str | None = None, **columns: Any) -> tuple[Any, Any]:
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table(**columns))
    settings = vector_world.settings(tmp_path / "index")
    if place is not None:
        index = settings.index.model_copy(update={"location": place})
        settings = settings.model_copy(update={"index": index})
    return settings, vector_world.bring(settings, path)


@pytest.mark.parametrize("kind", ["folder", "lance", "server"])
def test_an_index_has_them_normalised_and_searches_by_them(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    titles: list[Any] = list(TITLES)
    titles[3] = None
    with qdrant_server() as server:
        places = {"lance": f"lance+file://{tmp_path}/table", "server": f"{server.url}/photos"}
        settings, result = bring(tmp_path, places.get(kind), title_vec=titles)
        assert (result.written, result.refused) == (6, [])
        with closing(open_index(settings.index, None)) as index:
            assert index.named_dims() == {"title_vec": 12}
            found = sorted(index.scan(named=True), key=lambda point: str(point.payload["uri"]))
            units = TITLES / np.linalg.norm(TITLES, axis=1, keepdims=True)
            for number, point in enumerate(found):
                if number == 3:
                    assert not point.named_vectors
                    continue
                np.testing.assert_allclose(
                    point.named_vectors["title_vec"], units[number], atol=1e-6
                )
            query = IndexQuery(TITLES[4].astype(np.float32), 10, using="title_vec")
            hits = index.search(query)
        assert len(hits) == 5
        assert hits[0].payload.key == "4.jpg"
        assert vector_world.faults(settings) == []
        again = vector_world.bring(settings, tmp_path / "v.parquet")
        assert (again.written, again.unchanged) == (0, 6)


def test_a_row_with_a_wrong_one_is_refused(tmp_path: Path) -> None:
    titles: list[Any] = [list(row) for row in TITLES]
    titles[0] = [0.0] * 12
    titles[1] = titles[1][:5]
    titles[2][7] = float("nan")
    _, result = bring(tmp_path, title_vec=titles)
    assert [str(each) for each in result.refused] == [
        "v.parquet, row 1: vector.title_vec: expected a finite one, got one that is zero",
        "v.parquet, row 2: vector.title_vec: expected 12 numbers, got 5",
        "v.parquet, row 3: vector.title_vec: expected a finite one, got one that is not finite",
    ]
    assert result.written == 3


def test_a_column_without_any_is_left_out(tmp_path: Path) -> None:
    nothing = pa.array([None] * 6, _FLOATS)
    settings, result = bring(tmp_path, title_vec=nothing)
    assert (result.written, result.refused) == (6, [])
    with closing(open_index(settings.index, None)) as index:
        assert index.named_dims() == {}


def test_an_index_with_others_of_that_name_is_not_touched(tmp_path: Path) -> None:
    settings, _ = bring(tmp_path, title_vec=list(TITLES))
    path = vector_files.write_parquet(
        tmp_path / "w.parquet", vector_files.table(title_vec=list(TITLES[:, :9]))
    )
    with pytest.raises(UsageError, match=r"'title_vec' of 12 numbers, .*, got vectors of 9"):
        vector_world.bring(settings, path)
    empty = pa.table({"uri": ["s3://shop/x.jpg"], "embedding": pa.array([None], _FLOATS)})
    vector_files.write_parquet(tmp_path / "x.parquet", empty)
    with pytest.raises(DatasetError, match=r"expected vectors in the column 'embedding'"):
        vector_world.bring(settings, tmp_path / "x.parquet")


def test_a_collection_of_others_has_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    vectors = vector_files.unit_rows(3)
    with qdrant_server() as server:
        client = QdrantClient(url=server.url, check_compatibility=False)
        params = {
            name: models.VectorParams(size=size, distance=models.Distance.COSINE)
            for name, size in (("image_vector", 8), ("title", 12))
        }
        client.create_collection("shop", vectors_config=params)
        points = [
            models.PointStruct(
                id=number,
                vector={"image_vector": vectors[number].tolist(), "title": TITLES[number].tolist()},
                payload={"image_path": f"s3://shop/{number}.jpg"},
            )
            for number in range(3)
        ]
        client.upsert("shop", points)
        client.close()
        settings = vector_world.settings(tmp_path / "index")
        result = vector_world.bring(settings, f"{server.url}/shop")
    assert (result.written, result.refused) == (3, [])
    with closing(open_index(settings.index, None)) as index:
        assert index.named_dims() == {"title": 12}
        hits = index.search(IndexQuery(TITLES[1].astype(np.float32), 1, using="title"))
    assert hits[0].payload.key == "1.jpg"
