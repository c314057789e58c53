"""Whole imports of what other programs write, also into a collection of a Qdrant server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import QdrantClient, models
from support import fakes, vector_files, vector_world
from support.added_objects import add
from support.qdrant_server import QdrantServer
from support.s3_server import moto_server

from pipeline.jobs.reembed import reembed
from pipeline.search.filter_syntax import parse_conditions
from pipeline.transfer.export_coco import export_coco
from schemas.errors import StoreAccessError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from schemas.points import IndexQuery
from workers.indexes.open import open_index
from workers.stores.open import find, read


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    made = QdrantServer()
    yield made
    made.close()


def test_clip_retrieval(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    result = vector_world.bring(settings, vector_files.write_clip_retrieval(tmp_path / "laion"))
    assert (result.written, result.wholes, result.refused) == (5, 5, [])
    found = vector_world.points(settings)
    assert [each.payload["uri"] for each in found] == [
        f"https://images.test/{number}.jpg" for number in range(5)
    ]
    assert [(each.payload["width"], each.payload["height"]) for each in found[:2]] == [
        (64, 48), (65, 48),
    ]  # fmt: skip
    assert found[4].payload["own"] == {
        "image_path": "000000004", "caption": "picture 4", "similarity": pytest.approx(0.34),
    }  # fmt: skip
    assert found[4].payload["store"] == "http"
    # They were kept in 16 bits, and are of length 1 again.
    vectors = np.array([each.vector for each in found])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, vector_files.unit_rows(5), atol=2e-3)
    assert vector_world.faults(settings) == []


def test_img2dataset_with_vectors(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    result = vector_world.bring(settings, vector_files.write_img2dataset(tmp_path / "out"))
    assert (result.written, result.refused) == (4, [])
    own = vector_world.points(settings)[1].payload["own"]
    assert (own["key"], own["status"], own["original_width"]) == ("000000001", "success", 1024)
    assert vector_world.faults(settings) == []


def test_names_of_img2dataset_in_a_bucket(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    folder = vector_files.write_img2dataset(tmp_path / "out")
    result = vector_world.bring(settings, folder, {"uri": ("key",)}, images="s3://laion/00000")
    assert result.written == 4
    assert min(vector_world.rows(settings)) == "s3://laion/00000/000000000"


def test_one_collection_into_another(
    tmp_path: Path, server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    vectors = vector_files.unit_rows(6)
    client = QdrantClient(url=server.url, check_compatibility=False)
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    client.create_collection("shop", vectors_config={"photo": params})
    client.upsert(
        "shop",
        [
            models.PointStruct(
                id=number,
                vector={"photo": vectors[number].tolist()},
                payload={"image_path": f"s3://shop/{number}.jpg", "price": number * 2.5},
            )
            for number in range(6)
        ],
    )
    client.close()
    settings = vector_world.settings(tmp_path / "unused")
    index = settings.index.model_copy(update={"location": f"{server.url}/photos"})
    settings = settings.model_copy(update={"index": index})
    result = vector_world.bring(settings, f"{server.url}/shop")
    assert (result.written, result.refused) == (6, [])
    with closing(open_index(settings.index, None)) as opened:
        query = IndexQuery(vectors[5], 10, parse_conditions(["own.price<10", "own.id!=1"]))
        hits = opened.search(query)
    assert {hit.payload.key for hit in hits} == {"0.jpg", "2.jpg", "3.jpg"}
    again = vector_world.bring(settings, f"{server.url}/shop")
    assert (again.written, again.unchanged) == (0, 6)


def test_vectors_of_others_are_not_embedded_anew(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table())
    vector_world.bring(settings, path)
    with pytest.raises(UsageError, match=r"images that an ingest has done, .* imported vectors"):
        reembed(settings, recipe=fakes.recipe(settings))


def test_a_sparse_column_is_checked(tmp_path: Path) -> None:
    rows = vector_files.table(3, idx=[[1, 5], [2, 2], []], weights=[[0.5, 1.5], [1.0, 1.0], []])
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    settings = vector_world.settings(tmp_path / "index")
    result = vector_world.bring(settings, path, {"sparse": ("idx", "weights")})
    assert [str(each) for each in result.refused] == [
        "v.parquet, row 2: sparse: expected every index once, got [2, 2]"
    ]
    assert result.written == 2


def test_a_bad_file_among_good_ones_ends_it_and_what_was_written_stays(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    vector_files.write_parquet(folder / "a.parquet", vector_files.table())
    other = pa.table({"uri": ["s3://shop/x.jpg"], "embedding": [[1.0] * 8], "more": [1]})
    vector_files.write_parquet(folder / "b.parquet", other)
    settings = vector_world.settings(tmp_path / "index")
    result = vector_world.bring(settings, folder)
    assert (result.written, result.refused) == (7, [])
    assert vector_world.faults(settings) == []


def test_objects_that_were_added_by_hand_stay(tmp_path: Path) -> None:
    images = fakes.write_images(tmp_path / "images", 2)
    embedder = fakes.embedder()
    vectors = vector_files.unit_rows(2)[:, : embedder.dim]
    rows = pa.table({"uri": list(map(str, images)), "vector": list(vectors)})
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    settings = vector_world.settings(tmp_path / "index", embedder.name)
    vector_world.bring(settings, path)
    added = add(settings, images[0])
    vector_files.write_parquet(path, rows.append_column("price", pa.array([1.5, 2.5])))
    assert vector_world.bring(settings, path).written == 2
    there = {each.id: each.payload for each in vector_world.points(settings)}
    assert len(there) == 3
    assert there[added.id]["segmenter_label"] == "mug"
    assert vector_world.faults(settings) == []


def test_a_coco_export_has_masks_of_images_without_a_point(tmp_path: Path) -> None:
    mask = {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}
    rows = vector_files.table(3, mask=[mask, None, mask], bbox=[None, [0, 0, 2, 2], None])
    settings = vector_world.settings(tmp_path / "index")
    vector_world.bring(settings, vector_files.write_parquet(tmp_path / "v.parquet", rows))
    export_coco(settings, tmp_path / "masks.json")
    document = json.loads((tmp_path / "masks.json").read_text())
    assert {each["uri"] for each in document["images"]} == {"s3://shop/0.jpg", "s3://shop/2.jpg"}
    assert [(each["bbox"], each["area"]) for each in document["annotations"]] == [
        ([1, 1, 2, 2], 4), ([1, 1, 2, 2], 4),
    ]  # fmt: skip


def test_images_in_no_known_version_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"whatever it is")
    ref = ImageRef("file", "", str(tmp_path / "a.png"), "", 0)
    assert read(ref, StoreOptions()) == b"whatever it is"
    with moto_server() as server:
        bucket = server.make_bucket({"a.png": b"this one"})
        options = StoreOptions(endpoint_url=server.endpoint_url)
        assert read(ImageRef("s3", bucket, "a.png", "", 0), options) == b"this one"
    web = ImageRef.from_uri("https://images.test/a/b.jpg?x=1#y", "", 0)
    assert (web.store, web.bucket, web.key) == ("http", "https://images.test", "a/b.jpg?x=1#y")
    assert web.uri == "https://images.test/a/b.jpg?x=1#y"
    for look in (read, find):
        with pytest.raises(StoreAccessError, match="those of the web are not fetched"):
            look(web, StoreOptions())
