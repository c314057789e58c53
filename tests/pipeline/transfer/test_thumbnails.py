"""Thumbnails go with an export as WebP files, and are no part of exports of before."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image
from support import fakes
from support.transfer_world import at, raw_points, small_index

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from workers.indexes.open import open_index

COLUMNS = ["thumbnail", "thumbnail_box", "thumbnail_check"]


def test_they_come_back_from_a_backup(tmp_path: Path) -> None:
    world = small_index(tmp_path)
    backup(world, str(tmp_path / "backup"))
    back = at(world, tmp_path / "back")
    restore(back, str(tmp_path / "backup"))
    before, after = raw_points(world), raw_points(back)
    assert all(point.payload["thumbnail"] for point in before.values())
    assert after.keys() == before.keys()
    for identity, point in before.items():
        for column in COLUMNS:
            assert after[identity].payload[column] == point.payload[column]
    assert verify(back).findings == []
    (file,) = (tmp_path / "backup").rglob("kind=object/*.parquet")
    with Image.open(io.BytesIO(pq.read_table(file)["thumbnail"][0].as_py())) as picture:
        assert (picture.format, picture.size) == ("WEBP", (24, 16))


def test_an_export_of_before_has_none(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 4)
    world = fakes.settings(tmp_path / "index")
    plain = world.index.model_copy(update={"thumbnail_px": 0})
    world = world.model_copy(update={"index": plain})
    ingest([str(tmp_path / "images")], world, recipe=fakes.recipe(world))
    export(world, str(tmp_path / "export"))
    for file in (tmp_path / "export").rglob("kind=*/*.parquet"):
        table = pq.ParquetFile(file).read()
        pq.write_table(table.drop_columns(COLUMNS), file)
    back = at(world, tmp_path / "back")
    import_dataset(back, str(tmp_path / "export"))
    with closing(open_index(back.index, None)) as index:
        points = list(index.scan())
    assert len(points) == 12
    assert all(point.payload.keys().isdisjoint(COLUMNS) for point in points)
    assert verify(back).findings == []
