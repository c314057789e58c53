"""Videos that leave an index and come back: times, shots, the masks of every frame, COCO-VID."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO
from support import fakes
from support.transfer_world import at, raw_points
from support.video_world import video_index

from pipeline.index_home import IndexHome
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.progress import Progress
from pipeline.python_api.index import Index
from pipeline.settings import Settings
from pipeline.transfer.backup import backup, restore
from pipeline.transfer.export_coco import export_coco
from pipeline.transfer.export_csv import export_csv
from pipeline.transfer.export_parquet import export
from pipeline.transfer.import_coco import import_coco
from pipeline.transfer.import_parquet import import_dataset
from pipeline.transfer.migrate import migrate
from schemas.checksums import digest
from schemas.errors import DatasetError
from schemas.masks import CocoRle
from schemas.payload import TIME_FIELDS

FRAMES, MASKS = 8, 16
"""Of a video in which any object is seen, and in these."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return video_index(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def exported(world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "parquet"
    export(world, str(folder))
    return folder


def check_same(there: Settings, world: Settings) -> None:
    """All points, rows and masks are those of `world`."""
    wanted, found = (
        {key: digest(key, point.parse_payload()) for key, point in raw_points(each).items()}
        for each in (world, there)
    )
    assert found == wanted
    rows, own_rows = fakes.rows(there), fakes.rows(world)
    assert {name: row.shots for name, row in rows.items()} == {
        "000.mp4": 2, "001.mp4": 2, "image.png": 0,
    }  # fmt: skip
    tracks, own = (IndexHome.current(each).manifest.tracks for each in (there, world))
    for row in own_rows.values():
        if row.shots:
            kept = tracks.read_all(row.image_id, row.generation)
            assert kept == own.read_all(row.image_id, row.generation)
            assert sum(map(len, kept)) == MASKS
    assert verify(there).findings == []


def test_an_export_has_times_and_an_import_brings_them_back(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    (file,) = exported.glob("points/kind=object/*.parquet")
    table = pq.read_table(file, partitioning=None)
    in_videos = [time_s for time_s in table["t_start"].to_pylist() if time_s is not None]
    assert sorted(in_videos) == 4 * [0.0] + 4 * [2.0]
    assert set(TIME_FIELDS) <= set(table.column_names)
    other = at(world, tmp_path / "other")
    import_dataset(other, str(exported))
    check_same(other, world)
    # And an ingest has nothing to do there.
    source = Path(world.index.location).parent / "images"
    again = ingest([str(source)], other, recipe=fakes.recipe(other))
    assert (again.counts.unchanged, again.counts.handled) == (3, 0)


def test_hits_of_an_import_have_their_masks(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    other = at(world, tmp_path / "other")
    import_dataset(other, str(exported))
    with Index(other) as index:
        item = next(index.objects("shot=1"))
        assert item.t_end is not None
        assert item.mask_at(item.t_end).any()


def test_a_backup_is_restored_with_its_videos(world: Settings, tmp_path: Path) -> None:
    summary = backup(world, str(tmp_path / "backup"))
    assert (summary.queued, summary.images) == (0, 3)
    other = at(world, tmp_path / "other")
    restore(other, str(tmp_path / "backup"))
    check_same(other, world)


def test_a_migration_takes_its_videos_along(world: Settings, tmp_path: Path) -> None:
    other = at(world, tmp_path / "other")
    migrate(world, other)
    check_same(other, world)


def _rewrite(file: Path, name: str, change: Any) -> None:
    with pq.ParquetFile(file) as opened:
        table = opened.read()
    values = [change(value) for value in table[name].to_pylist()]
    position = table.schema.get_field_index(name)
    column = table.schema.field(name)
    changed = pa.array(values, column.type)
    pq.write_table(table.set_column(position, column, changed), file)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("t_key", lambda value: value and value + 60, "expected a time from t_start to t_end"),
        ("t_key", lambda value: None, "expected all times and the shot"),
        ("t_end", lambda value: value and float("nan"), "expected a time from t_start to t_end"),
        ("shot", lambda value: None, "expected all times and the shot"),
    ],
)
def test_times_that_cannot_be_are_refused(
    world: Settings, tmp_path: Path, name: str, change: Any, message: str
) -> None:
    export(world, str(tmp_path / "export"))
    (file,) = (tmp_path / "export").glob("points/kind=object/*.parquet")
    _rewrite(file, name, change)
    with pytest.raises(DatasetError, match=message):
        import_dataset(at(world, tmp_path / "other"), str(tmp_path / "export"))
    assert not (tmp_path / "other").exists()


def test_a_shot_has_the_ordinal_of_its_number(world: Settings, tmp_path: Path) -> None:
    export(world, str(tmp_path / "export"))
    (file,) = (tmp_path / "export").glob("points/kind=image/*.parquet")
    _rewrite(file, "shot", lambda value: value and value + 1)
    with pytest.raises(DatasetError, match="shot: expected the ordinal 1000000002, got 1000000001"):
        import_dataset(at(world, tmp_path / "other"), str(tmp_path / "export"))


def test_damaged_masks_of_frames_are_refused_and_missing_ones_are_not(
    world: Settings, tmp_path: Path
) -> None:
    export(world, str(tmp_path / "export"))
    first, second = sorted((tmp_path / "export" / "images" / "videos").iterdir())
    second.unlink()
    other = at(world, tmp_path / "other")
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=f"expected the masks of a video in {first.name}"):
        import_dataset(other, str(tmp_path / "export"))
    _break_masks(first, whole)
    with pytest.raises(DatasetError, match=r"cannot stand in an RLE string \(file:"):
        import_dataset(other, str(tmp_path / "export"))
    assert not (tmp_path / "other").exists()
    first.write_bytes(whole)
    import_dataset(other, str(tmp_path / "export"))
    assert len(raw_points(other)) == len(raw_points(world))


def _break_masks(file: Path, whole: bytes) -> None:
    file.write_bytes(whole)
    with pq.ParquetFile(file) as opened:
        table = opened.read()
    position = table.schema.get_field_index("counts")
    column = table.schema.field("counts")
    broken = table.set_column(position, column, [["~"] * len(table)])
    pq.write_table(broken.replace_schema_metadata(table.schema.metadata), file)


def test_coco_has_every_frame_that_shows_an_object(world: Settings, tmp_path: Path) -> None:
    summary = export_coco(world, tmp_path / "masks.json")
    assert (summary.objects, summary.images) == (10, 3)
    document = json.loads((tmp_path / "masks.json").read_text())
    assert sorted(video["name"][-7:] for video in document["videos"]) == ["000.mp4", "001.mp4"]
    frames = defaultdict(list)
    for image in document["images"]:
        if "video_id" in image:
            frames[image["video_id"]].append((image["frame_id"], image["time_s"]))
            assert image["file_name"].endswith(f".mp4#t={image['time_s']:.3f}")
    wanted = [(place, place * 0.5) for place in range(FRAMES)]
    assert list(frames.values()) == [wanted, wanted]
    masks = COCO(tmp_path / "masks.json")
    assert len(masks.anns) == 2 * MASKS + 2
    images = {image["id"]: image for image in document["images"]}
    with Index(world) as index:
        objects = {item.object_id: item for item in index.objects()}
    numbers = defaultdict(set)
    for annotation in document["annotations"]:
        item = objects[annotation["object_id"]]
        size, counts = annotation["segmentation"].values()
        mask = CocoRle(tuple(size), counts).decode()
        assert annotation["area"] == mask.sum()
        if item.t_key is None:
            assert "instance_id" not in annotation
            continue
        time_s = images[annotation["image_id"]]["time_s"]
        assert np.array_equal(mask, item.mask_at(time_s))
        numbers[annotation["instance_id"]].add(item.object_id)
    assert sorted(map(len, numbers.values())) == [1] * 8


def test_coco_without_the_masks_of_frames_has_key_frames(
    world: Settings, exported: Path, tmp_path: Path
) -> None:
    other = at(world, tmp_path / "other")
    import_dataset(other, str(exported))
    IndexHome.current(other).manifest.tracks.drop()
    export_coco(other, tmp_path / "masks.json")
    document = json.loads((tmp_path / "masks.json").read_text())
    assert len(document["annotations"]) == 10
    points = [point.payload for point in raw_points(other).values()]
    times = {payload.get("t_key") for payload in points if payload["kind"] == "object"}
    assert {image.get("time_s") for image in document["images"]} == times


def test_frames_of_videos_are_no_images_to_import(world: Settings, tmp_path: Path) -> None:
    export_coco(world, tmp_path / "masks.json")
    other, progress = at(world, tmp_path / "other"), Progress()
    done = import_coco(other, tmp_path / "masks.json", None, progress, fakes.recipe(other))
    assert (done.run.counts.done, done.run.counts.objects) == (1, 2)
    (note,) = progress.details.warnings
    assert note.startswith("16 frames of videos in ")
    with pytest.raises(DatasetError, match="got frames of videos: ingest those"):
        import_coco(other, tmp_path / "masks.json", None, strict=True)


def test_a_table_leaves_them_out_and_says_so(world: Settings, tmp_path: Path) -> None:
    objects = [point for point in raw_points(world).values() if point.payload["kind"] == "object"]
    of_videos = sum("t_key" in point.payload for point in objects)
    summary = export_csv(world, tmp_path / "objects.csv")
    assert (summary.objects, summary.of_videos) == (len(objects) - of_videos, of_videos)
    lines = (tmp_path / "objects.csv").read_text().splitlines()
    assert (len(lines), of_videos > 0) == (1 + summary.objects, True)
