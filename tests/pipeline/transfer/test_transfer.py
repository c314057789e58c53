"""Exports, imports and backups: what comes back is what went out, to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from support import damage, fakes
from support.paths import IMPORTS
from support.s3_server import moto_server
from support.transfer_world import IMAGES, at, raw_points, small_index
from support.waiting import until

from pipeline.index_home import open_manifest
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_parquet import import_dataset
from schemas.errors import DatasetError, EmbedderMismatchError, UsageError
from schemas.manifest import State
from workers.indexes.open import open_index

POINTS = 3 * (IMAGES + 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def exported(world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "parquet"
    export(world, str(folder))
    return folder


def rows(folder: Path, kind: str = "*") -> pa.Table:
    files = sorted(folder.glob(f"points/kind={kind}/*.parquet"))
    return pa.concat_tables(pq.read_table(file, partitioning=None) for file in files).sort_by("id")


def test_an_import_of_an_export_exports_the_same(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    other = at(world, tmp_path / "other")
    assert import_dataset(other, str(exported)).points == POINTS
    export(other, str(tmp_path / "again"))
    assert rows(tmp_path / "again").equals(rows(exported))
    before, after = raw_points(world), raw_points(other)
    assert before.keys() == after.keys()
    for identity, point in before.items():
        assert point.vector is not None
        assert after[identity].vector is not None
        assert point.vector.tobytes() == after[identity].vector.tobytes()
        assert point.words is not None
        assert point.words.values.tobytes() == after[identity].words.values.tobytes()
    assert list(open_manifest(other.index, other.store).latest()) == list(
        open_manifest(world.index, world.store).latest()
    )
    assert verify(other).findings == []


def test_after_an_import_an_ingest_has_nothing_to_do(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    other = at(world, tmp_path / "other")
    import_dataset(other, str(exported))
    images = Path(world.index.location).parent / "images"
    counts = ingest([str(images)], other, recipe=fakes.recipe(other)).counts
    assert (counts.unchanged, counts.handled) == (IMAGES + 2, 0)


def test_other_programs_read_an_export(world: Settings, exported: Path) -> None:
    data = ds.dataset(exported / "points", partitioning="hive")
    objects = data.to_table(filter=ds.field("kind") == "object")
    assert objects.num_rows == 2 * (IMAGES + 1)
    assert objects.schema.field("vector").type == pa.list_(pa.float32(), fakes.MeanEmbedder.dim)
    assert pc.min(objects["area"]).as_py() > 0
    catalogue = json.loads((exported / "objseek.json").read_text())
    assert (catalogue["points"], catalogue["images"]) == (POINTS, IMAGES + 2)


@pytest.mark.trials
def test_an_export_leaves_out_what_no_import_would_take(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    damage.do(damage.cut_a_mask, settings, "002.png")
    damage.do(damage.move_a_box_out, settings, "003.png")
    for checking in (False, True):
        folder = tmp_path / f"parquet-{checking}"
        summary = export(settings, str(folder), checking=checking)
        assert (summary.broken, summary.queued, summary.left_out) == (2, 2, 0)
        copy = at(settings, tmp_path / f"copy-{checking}")
        import_dataset(copy, str(folder))
        assert verify(copy).findings == []
        assert verify(copy).images[State.FAILED] == 2
        done = ingest([str(tmp_path / "images")], copy, recipe=fakes.recipe(copy)).counts
        assert (done.done, done.unchanged) == (2, IMAGES)


def test_coco_is_read_by_pycocotools(world: Settings, tmp_path: Path) -> None:
    target = tmp_path / "masks.json"
    assert export_coco(world, target).objects == 2 * (IMAGES + 1)
    coco = COCO(str(target))
    assert len(coco.imgs) == IMAGES + 1
    by_id = raw_points(world)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        payload = by_id[annotation["object_id"]].payload
        assert mask.area(coco.annToRLE(annotation)) == payload["area"] == annotation["area"]
        x0, y0, x1, y1 = payload["bbox"]
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert coco.imgs[annotation["image_id"]]["uri"] == payload["uri"]
    assert [category["name"] for category in coco.cats.values()] == ["object"]


def test_an_export_goes_to_a_bucket_and_comes_back(world: Settings, tmp_path: Path) -> None:
    with moto_server() as store:
        store.client.create_bucket(Bucket="exports")
        options = world.store.model_copy(update={"endpoint_url": store.endpoint_url})
        there = world.model_copy(update={"store": options})
        export(there, "s3://exports/photos/")
        with pytest.raises(UsageError, match="prefix without objects"):
            export(there, "s3://exports/photos/")
        other = at(there, tmp_path / "other")
        assert import_dataset(other, "s3://exports/photos/").points == POINTS
    assert verify(other).findings == []


def damaged(table: pa.Table, column: str, row: int, change: Callable[[Any], Any]) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = change(values[row])
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    return table.set_column(place, field, pa.array(values, field.type))


DAMAGES: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "not a number": ("vector", lambda v: [float("nan"), *v[1:]], "finite vector"),
    "zero": ("vector", lambda v: [0.0] * len(v), "other than zero"),
    "broken RLE": ("rle", lambda v: {**v, "counts": v["counts"] + "5"}, "rle.counts"),
    "no RLE": ("rle", lambda v: None, "expected a mask"),
    "RLE of another size": ("rle", lambda v: {**v, "size": [1, 2]}, "rle.size"),
    "area": ("area", lambda v: v + 1, "pixels of the mask"),
    "box": ("bbox", lambda v: [0, 0, 999, 999], "bbox"),
    "id": ("id", lambda v: "6c1b5b0e-7f0e-5b52-9d8a-0f6a3b0c2e11", "expected id"),
    "uri": ("uri", lambda v: v + "x", "image_id"),
    "generation": ("fingerprint", lambda v: "0" * 16, "generation"),
    "kind": ("kind", lambda v: "thing", "kind"),
    "words": ("word_values", lambda v: v[:-1], "value for each word"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_an_import_names_the_row_that_is_wrong(
    how: str, world: Settings, exported: Path, tmp_path: Path
) -> None:
    column, change, message = DAMAGES[how]
    source = copied(exported, tmp_path / "damaged")
    file = next(source.glob("points/kind=object/*.parquet"))
    table = pq.read_table(file, partitioning=None)
    pq.write_table(damaged(table, column, 4, change), file)
    refused(world, source, tmp_path, rf"part-00000.parquet, row 5: .*{message}")


def test_an_import_refuses_what_stands_twice(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    source = copied(exported, tmp_path / "damaged")
    file = next(source.glob("points/kind=object/*.parquet"))
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.slice(3, 1), file.with_name("part-00001.parquet"))
    refused(world, source, tmp_path, r"part-00001.parquet, row 1: .*twice")


def test_an_import_refuses_what_does_not_fit_the_images(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    source = copied(exported, tmp_path / "damaged")
    file = next(source.glob("points/kind=object/*.parquet"))
    pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
    refused(world, source, tmp_path, r"got others for 1 image, .*missing: 1")


def test_an_import_refuses_other_dimensions(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    other = at(world, tmp_path / "other")
    open_index(other.index, 5, create=True).close()
    with pytest.raises(EmbedderMismatchError, match=r"vectors of 5 numbers.* vectors of 7"):
        import_dataset(other, str(exported))
    source = copied(exported, tmp_path / "mixed")
    file = next(source.glob("points/kind=object/*.parquet"))
    table = pq.read_table(file, partitioning=None)
    vectors = pa.array(
        [vector[:5] for vector in table["vector"].to_pylist()], pa.list_(pa.float32(), 5)
    )
    place = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(place, "vector", vectors), file)
    refused(
        world, source, tmp_path, r"expected vectors of 7 numbers .* got 5|of 5 numbers .* got 7"
    )


def test_an_import_refuses_images_that_are_there(world: Settings, exported: Path) -> None:
    before = raw_points(world).keys()
    with pytest.raises(UsageError, match=r"not in the index at .* yet, it has file://"):
        import_dataset(world, str(exported))
    assert raw_points(world).keys() == before


def copied(source: Path, target: Path) -> Path:
    for file in source.rglob("*.parquet"):
        to = target / file.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(file.read_bytes())
    return target


def refused(world: Settings, source: Path, folder: Path, message: str) -> None:
    other = at(world, folder / "new")
    with pytest.raises(DatasetError, match=message):
        import_dataset(other, str(source))
    assert not (folder / "new").exists()


def test_a_backup_is_restored(world: Settings, tmp_path: Path) -> None:
    summary = backup(world, str(tmp_path / "backup"))
    assert (summary.objects, summary.images, summary.queued) == (2 * (IMAGES + 1), IMAGES + 2, 0)
    other = at(world, tmp_path / "other")
    restore(other, str(tmp_path / "backup"))
    there, before = fakes.points(other), fakes.points(world)
    assert {key: vector for key, (_, vector) in there.items()} == {
        key: vector for key, (_, vector) in before.items()
    }
    assert verify(other).findings == []
    with pytest.raises(UsageError, match="expected nothing at"):
        restore(other, str(tmp_path / "backup"))


def change_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


BACKUP_DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of points": (
        lambda folder: change_a_byte(next(folder.glob("points/*/*.parquet"))), "not what was"),
    "a byte of the manifest": (
        lambda folder: change_a_byte(next(folder.glob("images/*.parquet"))), "not what was"),
    "a short file": (
        lambda folder: (f := next(folder.glob("points/*/*"))).write_bytes(f.read_bytes()[:-9])
        and None,
        "bytes in"),
    "a lost file": (lambda folder: next(folder.glob("points/*/*")).unlink(), "is missing"),
    "a file more": (lambda folder: (folder / "x").touch(), "not in its catalogue"),
    "no catalogue": (lambda folder: (folder / "objseek.json").unlink(), "no whole backup"),
    "another catalogue": (lambda folder: (folder / "objseek.json").write_text("{}") and None,
                          "expected a catalogue"),
}  # fmt: skip


@pytest.mark.parametrize("how", BACKUP_DAMAGES)
def test_a_damaged_backup_is_refused(how: str, world: Settings, tmp_path: Path) -> None:
    backup(world, str(tmp_path / "backup"))
    damage, message = BACKUP_DAMAGES[how]
    damage(tmp_path / "backup")
    other = at(world, tmp_path / "other")
    with pytest.raises(DatasetError, match=message):
        restore(other, str(tmp_path / "backup"))
    assert not (tmp_path / "other").exists()


@pytest.mark.long
def test_a_backup_while_another_process_has_the_index(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    # An ingest of two minutes, unless the backup ends before: a copy is given between its batches.
    images = len(fakes.write_images(tmp_path / "images", 240))
    script, backed_up = str(Path(fakes.__file__)), tmp_path / "backed up"
    arguments = [str(tmp_path / "images"), settings.index.location, "local", "0.5", "", "4"]
    arguments += ["", str(backed_up)]
    environment = {**os.environ, **IMPORTS}
    with subprocess.Popen([sys.executable, script, *arguments], env=environment) as ingest_:
        manifest = open_manifest(settings.index, settings.store)
        until(lambda: ingest_.poll() is not None or sum(manifest.counts().values()) > IMAGES + 2)
        summary = backup(settings, str(tmp_path / "backup"))
        assert ingest_.poll() is None
        backed_up.touch()
    assert ingest_.returncode == 0
    assert IMAGES + 2 < summary.images < images + 2
    other = at(settings, tmp_path / "other")
    restore(other, str(tmp_path / "backup"))
    assert verify(other).findings == []
    assert not list(Path(settings.index.location).glob(".copy-*"))
    # What the backup did not come to have is done after it.
    ingest([str(tmp_path / "images")], other, recipe=fakes.recipe(other))
    assert fakes.points(other).keys() == fakes.points(settings).keys()
