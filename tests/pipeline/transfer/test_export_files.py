"""An index as tasks of Label Studio and as a table: every mask is there again."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.brush_reader import decode_brush
from support.damage import cut_a_mask, do
from support.transfer_world import IMAGES, small_index
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.settings import Settings
from pipeline.transfer.export_csv import export_csv
from pipeline.transfer.export_label_studio import export_label_studio
from schemas.masks import CocoRle
from schemas.payload import PointPayload
from workers.indexes.open import open_index


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


def objects_of(settings: Settings) -> dict[str, PointPayload]:
    with closing(open_index(settings.index, None)) as index:
        points = [(point.id, point.parse_payload()) for point in index.scroll()]
    return {identity: payload for identity, payload in points if payload.rle is not None}


def test_every_image_is_a_task_with_its_masks(world: Settings, tmp_path: Path) -> None:
    path, known = tmp_path / "tasks.json", objects_of(world)
    summary = export_label_studio(world, path)
    tasks = json.loads(path.read_text())
    assert (summary.objects, summary.images, summary.files) == (len(known), IMAGES + 1, 2)
    uris = [task["data"]["uri"] for task in tasks]
    assert uris == sorted({payload.uri for payload in known.values()})
    for task in tasks:
        (prediction,) = task["predictions"]
        assert len(prediction["result"]) == 2
        for region in prediction["result"]:
            payload = known.pop(region["id"])
            assert payload.uri == task["data"]["uri"]
            size_hw = (region["original_height"], region["original_width"])
            assert (decode_brush(region["value"]["rle"], size_hw) == payload.decode_mask()).all()
    assert known == {}
    view = ElementTree.parse(tmp_path / "tasks.label_config.xml")
    assert [label.get("value") for label in view.iter("Label")] == ["object"]


def test_every_object_is_a_line_of_a_table(tmp_path: Path) -> None:
    settings, path = small_index(tmp_path), tmp_path / "objects.csv"
    do(cut_a_mask, settings, "002.png")
    summary = export_csv(settings, path)
    assert (summary.objects, summary.images, summary.broken) == (
        2 * (IMAGES + 1) - 1, IMAGES + 1, 1
    )  # fmt: skip
    known = objects_of(settings)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            payload = known.pop(row["object_id"])
            assert (row["uri"], row["label"], row["score"]) == (payload.uri, "object", "")
            assert tuple(int(row[name]) for name in ("x0", "y0", "x1", "y1")) == payload.bbox
            rle = CocoRle((int(row["height"]), int(row["width"])), row["rle"])
            assert (rle.decode() == payload.decode_mask()).all()
            assert int(row["area"]) == payload.area
    assert len(known) == 1


@pytest.mark.parametrize("form", ["label-studio", "csv"])
def test_files_are_written_over_with_force_alone(
    form: str, world: Settings, tmp_path: Path
) -> None:
    def export(*options: str) -> tuple[int, str]:
        command = ["export", str(tmp_path / "file"), "--format", form, "-i"]
        done = CliRunner().invoke(app, [*command, str(world.index.location), *options])
        return done.exit_code, done.output

    code, output = export()
    assert (code, "26 objects of 13 images in" in output) == (0, True), output
    before = (tmp_path / "file").read_text()
    code, output = export()
    assert (code, "--force writes over it" in " ".join(output.split())) == (2, True)
    assert export("--force")[0] == 0
    assert (tmp_path / "file").read_text() == before
