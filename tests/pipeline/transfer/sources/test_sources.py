"""Rows of each format that vectors come in, opened by what is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.feather
import pytest
from qdrant_client import QdrantClient, models
from support import fakes, vector_files
from support.qdrant_server import QdrantServer
from support.s3_server import moto_server

from pipeline.progress import Progress
from pipeline.transfer.sources import row_source
from pipeline.transfer.sources.open_source import is_own_export, open_source
from pipeline.transfer.sources.row_source import RowSource
from schemas.errors import DatasetError, UsageError
from schemas.options import StoreOptions

_VECTORS = vector_files.unit_rows(6)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("row_source", "parquet_file", "jsonl_file"):
        module = f"pipeline.transfer.sources.{name}"
        __import__(module)
        monkeypatch.setattr(f"{module}.ROWS_AT_ONCE", 4)
    monkeypatch.setattr("pipeline.transfer.sources.qdrant_source._AT_ONCE", 4)


def read(place: object, columns: Sequence[str]) -> list[tuple[str, int, object]]:
    """File, number and values of each row, after a look at what the source says of itself."""
    settings = fakes.settings(Path("unused"))
    with open_source(str(place), settings, Progress()) as source:
        rows = rows_of(source, columns)
        assert source.rows == len(rows)
        assert set(columns) <= set(source.schema.names)
        assert source.digest() == source.digest()
        return rows


def rows_of(source: RowSource, columns: Sequence[str]) -> list[tuple[str, int, object]]:
    found: list[tuple[str, int, object]] = []
    for batch in source.batches(columns):
        assert 0 < batch.rows.num_rows <= row_source.ROWS_AT_ONCE
        assert batch.rows.schema.names == list(columns)
        for number, row in enumerate(batch.rows.to_pylist()):
            found.append((batch.file, batch.first_row + number, tuple(row.values())))
    return found


def expected(file: str, first: int = 0, count: int = 6) -> list[tuple[str, int, object]]:
    numbers = range(first, first + count)
    return [
        (file, place, (f"s3://shop/{number}.jpg", _VECTORS[number].tolist()))
        for place, number in enumerate(numbers, start=1)
    ]


def test_a_parquet_file(tmp_path: Path) -> None:
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table(), 5)
    assert read(path, ["uri", "embedding"]) == expected("v.parquet")


def test_a_folder_of_parquet_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = vector_files.table()
    vector_files.write_parquet(tmp_path / "b" / "1.parquet", rows.slice(2))
    vector_files.write_parquet(tmp_path / "a" / "2.parquet", rows.slice(0, 2))
    vector_files.write_parquet(tmp_path / "_metadata.parquet", rows)
    found = read(tmp_path, ["uri", "embedding"])
    assert found == expected("a/2.parquet", 0, 2) + expected("b/1.parquet", 2, 4)


def test_arrow_files_streams_and_feather(tmp_path: Path) -> None:
    rows = vector_files.table()
    with pa.ipc.new_file(tmp_path / "file.arrow", rows.schema) as file:
        file.write_table(rows)
    with pa.ipc.new_stream(tmp_path / "stream.arrow", rows.schema) as stream:
        stream.write_table(rows)
    pyarrow.feather.write_feather(rows, str(tmp_path / "v.feather"))
    for name in ("file.arrow", "stream.arrow", "v.feather"):
        assert read(tmp_path / name, ["uri", "embedding"]) == expected(name)


def test_lines_of_json_with_vectors_in_them(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in vector_files.table().to_pylist()]
    (tmp_path / "v.jsonl").write_text("\n\n".join(lines))
    found = read(tmp_path / "v.jsonl", ["uri", "embedding"])
    assert found == expected("v.jsonl")


def test_an_array_with_rows_beside_it(tmp_path: Path) -> None:
    rows = [{"uri": f"s3://shop/{number}.jpg"} for number in range(6)]
    path = vector_files.write_array(tmp_path / "emb.npy", _VECTORS, rows)
    assert read(path, ["uri", "vector"]) == expected("emb.jsonl")
    assert read(tmp_path, ["uri", "vector"]) == expected("emb.jsonl")
    path.with_suffix(".jsonl").unlink()
    pv.write_csv(vector_files.table().select(["uri"]), path.with_suffix(".csv"))
    assert read(path, ["uri", "vector"]) == expected("emb.csv")
    path.with_suffix(".csv").unlink()
    vector_files.write_parquet(tmp_path / "emb.parquet", vector_files.table().select(["uri"]))
    assert read(tmp_path, ["uri", "vector"]) == expected("emb.parquet")


def test_arrays_that_do_not_fit_their_rows_are_refused(tmp_path: Path) -> None:
    path = vector_files.write_array(tmp_path / "emb.npy", _VECTORS, [{"uri": "a.jpg"}] * 5)
    with pytest.raises(DatasetError, match=r"each of the 6 vectors of emb.npy, got 5 in emb.json"):
        read(path, ["uri", "vector"])
    np.save(path, np.zeros(3, np.float32))
    with pytest.raises(DatasetError, match=r"numbers \(rows, dim\) in .*emb.npy, got float32"):
        read(path, ["uri"])
    path.with_suffix(".jsonl").unlink()
    with pytest.raises(UsageError, match=r"expected emb.jsonl, .csv or .parquet beside"):
        read(path, ["uri"])


def test_what_clip_retrieval_leaves(tmp_path: Path) -> None:
    folder = vector_files.write_clip_retrieval(tmp_path / "out")
    found = read(folder, ["url", "img_emb"])
    halves = vector_files.unit_rows(5).astype(np.float16).astype(np.float32)
    assert found == [
        (f"metadata/metadata_{file}.parquet", row, (f"https://images.test/{number}.jpg",
         halves[number].tolist()))
        for number, (file, row) in enumerate([(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)])
    ]  # fmt: skip
    (folder / "metadata" / "metadata_1.parquet").unlink()
    with pytest.raises(UsageError, match=r"for each in .*img_emb, got 1 for 2"):
        read(folder, ["url"])


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("emb_0", "img_00")])
def test_files_of_clip_retrieval_that_numbers_do_not_tell_apart_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    for name in (first, second):
        vector_files.write_parquet(
            tmp_path / "metadata" / f"{name}.parquet", vector_files.table().select(["uri"])
        )
        (tmp_path / "img_emb").mkdir(exist_ok=True)
        np.save(tmp_path / "img_emb" / f"{name}.npy", _VECTORS)
    with pytest.raises(UsageError, match=rf"in .*img_emb, got {first}.npy and {second}.npy"):
        read(tmp_path, ["uri"])


def test_what_img2dataset_leaves_with_vectors(tmp_path: Path) -> None:
    folder = vector_files.write_img2dataset(tmp_path / "out")
    found = read(folder, ["url", "key"])
    assert found[3] == ("00000.parquet", 4, ("https://images.test/3.jpg", "000000003"))


def test_a_lance_dataset_and_a_database_of_lancedb(tmp_path: Path) -> None:
    lance = pytest.importorskip("lance")
    lance.write_dataset(vector_files.table(), str(tmp_path / "db" / "photos.lance"))
    for place in (tmp_path / "db" / "photos.lance", tmp_path / "db"):
        assert read(place, ["uri", "embedding"]) == expected("photos.lance")
    lance.write_dataset(vector_files.table(), str(tmp_path / "db" / "others.lance"))
    with pytest.raises(UsageError, match=r"several: name one of others.lance, photos.lance"):
        read(tmp_path / "db", ["uri"])


def test_without_its_package_a_lance_dataset_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos.lance").mkdir()
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(UsageError, match=r'pip install "objseek\[lance\]"'):
        read(tmp_path / "photos.lance", ["uri"])


def test_a_collection_of_a_qdrant_server() -> None:
    server = QdrantServer()
    try:
        client = QdrantClient(url=server.url, check_compatibility=False)
        place = f"{server.url}/shop"
        params = models.VectorParams(size=8, distance=models.Distance.COSINE)
        client.create_collection("shop", vectors_config=params)
        points = [
            models.PointStruct(
                id=number,
                vector=_VECTORS[number].tolist(),
                payload={
                    "uri": f"s3://shop/{number}.jpg",
                    "price": number * 1.5,
                    "serial": 2**64 - 1,  # more than Arrow guesses a type for
                },
            )
            for number in range(6)
        ]
        client.upsert("shop", points)
        found = read(place, ["uri", "price", "id", "vector"])
    finally:
        server.close()
    assert [(row, values[:3]) for _, row, values in found] == [
        (number + 1, (f"s3://shop/{number}.jpg", number * 1.5, str(number))) for number in range(6)
    ]
    vectors = np.array([values[3] for _, _, values in found])
    np.testing.assert_allclose(vectors, _VECTORS, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "place"), [("v.parquet", ""), ("v.parquet", "v.parquet"), ("V.PARQUET", "V.PARQUET")]
)
def test_a_bucket(tmp_path: Path, name: str, place: str) -> None:
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table())
    with moto_server() as server:
        bucket = server.make_bucket({f"x/{name}": path.read_bytes(), "x/0.tar": b"not fetched"})
        source = f"s3://{bucket}/x/{place}"
        store = StoreOptions(endpoint_url=server.endpoint_url)
        settings = fakes.settings(tmp_path).model_copy(update={"store": store})
        assert not is_own_export(source, settings)
        with open_source(source, settings, Progress()) as rows:
            assert rows_of(rows, ["uri", "embedding"]) == expected(name)


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match=r"v.parquet cannot be read"):
        read(tmp_path / "v.parquet", ["uri"])
    (tmp_path / "v.jsonl").write_text('{"uri": "a"}\n[]\n')
    with pytest.raises(DatasetError, match=r"v.jsonl cannot be read: expected a JSON object"):
        read(tmp_path / "v.jsonl", ["uri"])
    for value in (2**70, "a"):
        lines = [{"price": 1}, {"price": value}]
        (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, lines)))
        with pytest.raises(DatasetError, match=r"v.jsonl cannot be read: .* the field 'price': "):
            read(tmp_path / "v.jsonl", ["price"])
    whole = vector_files.write_parquet(tmp_path / "d" / "a.parquet", vector_files.table())
    vector_files.write_parquet(whole.with_name("b.parquet"), vector_files.table().select(["uri"]))
    with pytest.raises(DatasetError, match=r"columns of a.parquet in b.parquet, it has no 'emb"):
        read(tmp_path / "d", ["embedding"])


def test_exports_of_objseek_are_told_apart(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    vector_files.write_parquet(tmp_path / "theirs" / "v.parquet", vector_files.table())
    vector_files.write_parquet(tmp_path / "ours" / "points" / "v.parquet", vector_files.table())
    (tmp_path / "notes").mkdir()
    assert is_own_export(str(tmp_path / "ours"), settings)
    assert is_own_export(str(tmp_path / "notes"), settings)  # whose reader says what is missing
    assert is_own_export(str(tmp_path / "nowhere"), settings)
    assert not is_own_export(str(tmp_path / "theirs"), settings)
    absent = str(tmp_path / "none.parquet")
    assert not is_own_export(absent, settings)
    with pytest.raises(UsageError, match=r"clip-retrieval, got nothing at .*none.parquet"):
        read(absent, ["uri"])
    assert not is_own_export("http://localhost:6333/photos", settings)
    assert not is_own_export("s3://shop/photos.lance", settings)
    assert not is_own_export("s3://shop/photos.lance/", settings)
    with pytest.raises(UsageError, match=r"expected Parquet, Arrow or Feather files, .npy with"):
        read(tmp_path / "notes", ["uri"])
