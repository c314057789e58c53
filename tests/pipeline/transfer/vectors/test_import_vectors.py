"""Vectors of somebody else in an index: points, manifest, wrong rows, the same again, a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from support import fakes, vector_files, vector_world

from pipeline.index_home import IndexHome
from pipeline.jobs.sync import sync
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.vectors import grouping, import_vectors
from schemas.dataset import point_digest
from schemas.errors import DatasetError, EmbedderMismatchError, UsageError
from schemas.manifest import State
from schemas.points import Point
from workers.indexes.edge.index import EdgeIndex

_RLE = {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}


def mixed_table() -> pa.Table:
    """Two images: one as a whole with two objects, and one of an object alone."""
    return pa.table(
        {
            "uri": ["s3://shop/a.jpg"] * 3 + ["s3://shop/b.jpg"],
            "embedding": list(3 * vector_files.unit_rows(4)),
            "bbox": [None, [1.0, 0.0, 3.0, 4.0], None, [10.0, 20.0, 30.0, 60.0]],
            "mask": pa.array(
                [None, None, _RLE, None],
                pa.struct([("size", pa.list_(pa.int64())), ("counts", pa.list_(pa.int64()))]),
            ),
            "caption": ["a red kettle", "", None, None],
            "price": [9.5, 12.0, None, 3.25],
            "sku": ["A-1", "A-2", "A-3", "B-1"],
            "tags": [["new", None], [], None, ["old"]],
            "sold": [True, False, None, True],
        }
    )


def test_rows_become_objects_and_whole_images(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    path = vector_files.write_parquet(tmp_path / "v.parquet", mixed_table())
    result = vector_world.bring(settings, path)
    assert (result.rows, result.written, result.objects, result.wholes) == (4, 2, 3, 1)
    assert (result.refused, result.unchanged) == ([], 0)
    found = vector_world.points(settings)
    assert [
        tuple(each.payload.get(name) for name in ("uri", "kind", "ordinal", "bbox", "area"))
        for each in found
    ] == [
        ("s3://shop/a.jpg", "image", -1, [0, 0, 6, 4], 24),
        ("s3://shop/a.jpg", "object", 0, [1, 0, 3, 4], 8),
        ("s3://shop/a.jpg", "object", 1, [1, 1, 3, 3], 4),
        ("s3://shop/b.jpg", "object", 0, [10, 20, 30, 60], 800),
    ]
    np.testing.assert_allclose(
        np.array([each.vector for each in found]), vector_files.unit_rows(4), atol=1e-6
    )
    assert [each.payload["own"] for each in found] == [
        {"caption": "a red kettle", "price": 9.5, "sku": "A-1", "tags": ["new"], "sold": "true"},
        {"caption": "", "price": 12.0, "sku": "A-2", "tags": [], "sold": "false"},
        {"sku": "A-3"},
        {"price": 3.25, "sku": "B-1", "tags": ["old"], "sold": "true"},
    ]
    assert {(each.payload["segmenter"], each.payload["embedder"]) for each in found} == {
        ("imported", "own")
    }
    # Of the size of the second image nothing is known, and nothing is made up.
    assert [found[3].payload[name] for name in ("width", "height")] == [0, 0]
    assert "area_frac" not in found[3].payload
    assert len(found[0].words.indices) > len(found[1].words.indices)  # type: ignore[union-attr]


def test_the_manifest_counts_them_and_a_verification_finds_nothing(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    vector_world.bring(settings, vector_files.write_parquet(tmp_path / "v.parquet", mixed_table()))
    rows = vector_world.rows(settings)
    assert {
        uri: (row.state, row.objects, row.has_whole, row.points) for uri, row in rows.items()
    } == {
        "s3://shop/a.jpg": (State.DONE, 2, True, 3),
        "s3://shop/b.jpg": (State.DONE, 1, False, 1),
    }
    assert vector_world.faults(settings) == []
    home = IndexHome.current(settings)
    pipeline = home.pipelines.look_up(rows["s3://shop/a.jpg"].fingerprint)
    assert pipeline is not None
    assert (pipeline.segmenter, pipeline.embedder) == ("imported", "own")


def test_the_same_again_changes_nothing_and_other_rows_replace(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    path = vector_files.write_parquet(tmp_path / "v.parquet", mixed_table())
    vector_world.bring(settings, path)
    before = vector_world.points(settings)
    again = vector_world.bring(settings, path)
    assert (again.written, again.unchanged) == (0, 2)
    assert [each.payload for each in vector_world.points(settings)] == [
        each.payload for each in before
    ]
    vector_files.write_parquet(path, mixed_table().slice(1))
    changed = vector_world.bring(settings, path)
    assert (changed.written, changed.unchanged) == (2, 0)
    assert [each.payload["own"]["sku"] for each in vector_world.points(settings)] == [
        "A-2", "A-3", "B-1",
    ]  # fmt: skip
    assert vector_world.faults(settings) == []


def test_wrong_rows_are_left_out_with_the_reason(tmp_path: Path) -> None:
    vectors: list[object] = [*vector_files.unit_rows(7).tolist()]
    vectors[1], vectors[2], vectors[3] = [0.0] * 8, [1.0] * 7, None
    vectors[4] = [float("nan")] + [1.0] * 7
    rows = vector_files.table(7).set_column(1, "embedding", pa.array(vectors))
    uris = [*rows["uri"].to_pylist()[:5], "gopher://x/y.jpg", "s3://shop/0.jpg"]
    rows = rows.set_column(0, "uri", pa.array(uris))
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    settings = vector_world.settings(tmp_path / "index")
    result = vector_world.bring(settings, path)
    assert [str(each) for each in sorted(result.refused, key=lambda each: each.place.row)] == [
        "v.parquet, row 2: vector: expected a finite one, got one that is zero",
        "v.parquet, row 3: vector: expected 8 numbers, got 7",
        "v.parquet, row 4: vector: expected one, got null",
        "v.parquet, row 5: vector: expected a finite one, got one that is not finite",
        "v.parquet, row 6: expected s3://bucket/key, file:///path or http(s)://host/path, got "
        "'gopher://x/y.jpg'",
        "v.parquet, row 7: expected one row for the image as a whole, v.parquet, row 1 is one "
        "already",
    ]
    assert (result.refused_count, result.written, result.wholes) == (6, 1, 1)
    assert vector_world.faults(settings) == []


def test_strict_writes_nothing_of_a_source_with_a_wrong_row(tmp_path: Path) -> None:
    vectors = vector_files.unit_rows(6)
    vectors[5] = 0
    rows = vector_files.table().set_column(1, "embedding", pa.array(list(vectors)))
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    settings = vector_world.settings(tmp_path / "index")
    with pytest.raises(DatasetError, match=r"v.parquet, row 6: vector: .* nothing was written"):
        vector_world.bring(settings, path, strict=True)
    assert not IndexHome.current(settings).exists()
    vector_files.write_parquet(path, vector_files.table())
    result = vector_world.bring(settings, path, strict=True)
    assert (result.rows, result.written) == (6, 6)


def test_a_killed_import_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table(20))
    whole = vector_world.settings(tmp_path / "whole")
    vector_world.bring(whole, path)
    monkeypatch.setattr(import_vectors, "_POINTS_AT_ONCE", 4)
    write, calls = EdgeIndex.replace_points, 0

    def write_until_killed(
        self: EdgeIndex, points: Mapping[UUID, Sequence[Point]], run_started_at: datetime
    ) -> set[UUID]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return write(self, points, run_started_at)

    settings = vector_world.settings(tmp_path / "index")
    monkeypatch.setattr(EdgeIndex, "replace_points", write_until_killed)
    with pytest.raises(KeyboardInterrupt):
        vector_world.bring(settings, path)
    assert len(vector_world.rows(settings)) == 12
    assert vector_world.faults(settings) == []
    result = vector_world.bring(settings, path)
    assert (result.unchanged, result.written) == (12, 8)
    assert [each.id for each in vector_world.points(settings)] == [
        each.id for each in vector_world.points(whole)
    ]
    assert vector_world.faults(settings) == []


@pytest.mark.parametrize("part_bytes", [64 * 2**20, 600])
def test_rows_of_an_image_may_stand_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr(grouping, "_PART_BYTES", part_bytes)
    uris = [f"s3://shop/{number % 10}.jpg" for number in range(40)]
    boxes = [None if number < 10 else [0, 0, number, 5] for number in range(40)]
    rows = vector_files.table(40).set_column(0, "uri", pa.array(uris))
    rows = rows.append_column("bbox", pa.array(boxes)).append_column("nr", pa.array(range(40)))
    scattered = vector_world.settings(tmp_path / "scattered")
    result = vector_world.bring(
        scattered, vector_files.write_parquet(tmp_path / "s" / "v.parquet", rows, 7)
    )
    assert (result.written, result.objects, result.wholes) == (10, 30, 10)
    found = vector_world.points(scattered)
    assert [each.payload["own"]["nr"] for each in found[:4]] == [0, 10, 20, 30]
    together = vector_world.settings(tmp_path / "together")
    order = pa.array(sorted(range(40), key=lambda number: number % 10))
    vector_world.bring(
        together, vector_files.write_parquet(tmp_path / "t" / "v.parquet", rows.take(order))
    )
    names = ("uri", "ordinal", "bbox", "own", "kind")
    assert [[each.payload[name] for name in names] for each in found] == [
        [each.payload[name] for name in names] for each in vector_world.points(together)
    ]
    assert vector_world.faults(scattered) == []


def test_images_at_hand_tell_their_size_and_version(tmp_path: Path) -> None:
    images = fakes.write_images(tmp_path / "images", 3)
    names = [path.name for path in images]
    vectors = vector_files.unit_rows(3)[:, : fakes.embedder().dim]
    rows = pa.table({"file_name": names, "embedding": list(vectors)})
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    settings = vector_world.settings(tmp_path / "index")
    with pytest.raises(DatasetError, match=r"nothing at '000.png': name the folder"):
        vector_world.bring(settings, path, strict=True)
    result = vector_world.bring(settings, path, images=str(tmp_path / "images"))
    assert result.written == 3
    first = vector_world.points(settings)[0].payload
    assert (first["uri"], first["width"] > 0) == (images[0].as_uri(), True)
    assert vector_world.faults(settings, [str(tmp_path / "images")]) == []
    # Nothing of another source is removed, and what is gone from this one is.
    fakes.write_images(tmp_path / "others", 1)
    recipe = fakes.recipe(settings)
    assert sync([str(tmp_path / "others")], settings, recipe=recipe).removed == 0
    images[0].unlink()
    assert sync([str(tmp_path / "images")], settings, 1.0, recipe=recipe).removed == 1


def test_an_export_brings_them_back(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    vector_world.bring(settings, vector_files.write_parquet(tmp_path / "v.parquet", mixed_table()))
    export(settings, str(tmp_path / "export"))
    copy = vector_world.settings(tmp_path / "copy")
    import_dataset(copy, str(tmp_path / "export"))
    assert [point_digest(each) for each in vector_world.points(copy)] == [
        point_digest(each) for each in vector_world.points(settings)
    ]
    assert [each.payload.get("own") for each in vector_world.points(copy)] == [
        each.payload.get("own") for each in vector_world.points(settings)
    ]
    assert vector_world.faults(copy) == []


def test_vectors_of_another_length_than_the_index_are_refused(tmp_path: Path) -> None:
    settings = vector_world.settings(tmp_path / "index")
    vector_world.bring(
        settings, vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table())
    )
    rows = vector_files.table().set_column(1, "embedding", pa.array([[1.0, 2.0]] * 6))
    path = vector_files.write_parquet(tmp_path / "w.parquet", rows)
    with pytest.raises(EmbedderMismatchError, match=r"vectors of 8 numbers, but .* vectors of 2"):
        vector_world.bring(settings, path)


def test_videos_are_for_an_ingest(tmp_path: Path) -> None:
    rows = vector_files.table(1).set_column(0, "uri", pa.array(["s3://shop/a.mp4"]))
    path = vector_files.write_parquet(tmp_path / "v.parquet", rows)
    result = vector_world.bring(vector_world.settings(tmp_path / "index"), path)
    assert result.refused[0].reason.startswith("uri: expected an image, an ingest reads videos")


def test_a_source_without_vectors_says_so(tmp_path: Path) -> None:
    path = vector_files.write_parquet(tmp_path / "v.parquet", vector_files.table().select(["uri"]))
    with pytest.raises(UsageError, match=r"expected a column that is a list of numbers"):
        vector_world.bring(vector_world.settings(tmp_path / "index"), path)
