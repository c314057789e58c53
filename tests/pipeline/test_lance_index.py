"""An index that is a Lance table: its life from ingest to drop, and that other programs read it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import lance
import lancedb
import numpy as np
import pytest
from support import fakes
from support.transfer_world import at, raw_points, small_index

from pipeline.index_home import IndexHome, current_generation, drop_generation, list_generations
from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.dataset import point_digest
from schemas.manifest import State
from workers.indexes.location import LANCE_TABLE, kind_of, lance_place


def table_at(folder: Path) -> str:
    return f"lance+file://{folder}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An index in a folder."""
    return small_index(tmp_path_factory.mktemp("world"))


@pytest.fixture
def table(folder: Settings, tmp_path: Path) -> Settings:
    """A copy of it as a table."""
    target = at(folder, table_at(tmp_path / "table"))
    migrate(folder, target)
    return target


def digests(settings: Settings) -> dict[str, int]:
    return {name: point_digest(point) for name, point in raw_points(settings).items()}


def test_a_copy_holds_the_same_points_and_so_does_a_copy_of_it(
    folder: Settings, table: Settings, tmp_path: Path
) -> None:
    assert digests(table) == digests(folder)
    back = at(folder, tmp_path / "back")
    migrate(table, back)
    assert digests(back) == digests(folder)
    vectors, others = raw_points(table), raw_points(folder)
    assert all(np.array_equal(vectors[name].vector, others[name].vector) for name in others)  # type: ignore[arg-type]


def test_an_ingest_makes_a_table_with_its_record_and_has_nothing_to_do_twice(
    tmp_path: Path,
) -> None:
    images = tmp_path / "images"
    fakes.write_images(images, 6)
    settings = at(fakes.settings(tmp_path / "x"), table_at(tmp_path / "table"))
    first = ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert (tmp_path / "table" / LANCE_TABLE).is_dir()
    assert first.counts.done == 6
    assert IndexHome.current(settings).manifest.counts()[State.DONE] == 6
    again = ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert (again.counts.done, again.counts.unchanged) == (0, 6)
    assert verify(settings).findings == []

    (images / "003.png").unlink()
    fakes.write_image(images / "000.png", 9)
    sync([str(images)], settings, max_delete=1.0, recipe=fakes.recipe(settings))
    assert IndexHome.current(settings).manifest.counts()[State.DONE] == 5
    assert verify(settings).findings == []
    same = fakes.settings(tmp_path / "folder")
    ingest([str(images)], same, recipe=fakes.recipe(same))
    assert fakes.compared(fakes.points(settings), fakes.points(same)) == (0, 0, 0)


def test_an_export_and_a_backup_come_back_as_they_were(table: Settings, tmp_path: Path) -> None:
    export(table, str(tmp_path / "export"))
    imported = at(table, table_at(tmp_path / "imported"))
    import_dataset(imported, str(tmp_path / "export"))
    assert digests(imported) == digests(table)
    backup(table, str(tmp_path / "backup"))
    restored = at(table, table_at(tmp_path / "restored"))
    restore(restored, str(tmp_path / "backup"))
    assert digests(restored) == digests(table)
    assert verify(restored).findings == []


def test_generations_lie_below_the_place(table: Settings) -> None:
    assert current_generation(table) == "first"
    assert [each.location for each in list_generations(table)] == [table.index.location]
    new = IndexHome.at(table, "other")
    assert kind_of(new.index.location) == "lance"
    assert lance_place(new.index.location).startswith(lance_place(table.index.location))
    with new.points(create_for=5):
        pass
    assert [each.name for each in list_generations(table)] == ["first", "other"]
    drop_generation(table, "other")
    assert [each.name for each in list_generations(table)] == ["first"]


def test_other_programs_read_the_table(table: Settings, folder: Settings) -> None:
    place = lance_place(table.index.location)
    points = lance.dataset(f"{place}/{LANCE_TABLE}")
    expected = {
        (payload["uri"], tuple(payload["bbox"])): payload.get("labels")
        for payload in (point.payload for point in raw_points(folder).values())
        if payload["kind"] == "object"
    }
    objects = points.scanner(["uri", "bbox", "labels"], filter="kind = 'object'").to_reader()
    assert objects.schema.names == ["uri", "bbox", "labels"]
    by_duckdb = duckdb.sql("SELECT uri, bbox, labels FROM objects").fetchall()
    assert {(uri, tuple(box)): labels for uri, box, labels in by_duckdb} == expected
    by_pandas = points.to_pandas(columns=["uri", "bbox", "rle"], filter="kind = 'object'")
    assert {(row.uri, tuple(row.bbox)) for row in by_pandas.itertuples()} == expected.keys()
    assert all(len(mask["size"]) == 2 and mask["counts"] for mask in by_pandas["rle"])
    by_lancedb = lancedb.connect(place).open_table(LANCE_TABLE.removesuffix(".lance"))
    assert by_lancedb.count_rows("kind = 'object'") == len(expected)
    some = next(point for point in raw_points(folder).values() if point.vector is not None)
    nearest = by_lancedb.search(some.vector).distance_type("cosine").limit(1).to_arrow()
    assert nearest["_distance"][0].as_py() == pytest.approx(0, abs=1e-5)
