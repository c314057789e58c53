"""An index as a dataset of YOLO's, read back as ultralytics reads it."""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import cut_a_mask, do
from support.transfer_world import IMAGES, small_index
from support.yolo_reader import read_dataset
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.settings import Settings
from pipeline.transfer.export_yolo import export_yolo
from schemas.errors import UsageError
from workers.indexes.open import open_index


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_index(tmp_path_factory.mktemp("world"))


def test_every_mask_is_there_pixel_by_pixel(world: Settings, tmp_path: Path) -> None:
    summary = export_yolo(world, str(tmp_path / "yolo"))
    assert (summary.objects, summary.images, summary.broken) == (
        2 * (IMAGES + 1), IMAGES + 1, 0
    )  # fmt: skip
    read = read_dataset(tmp_path / "yolo")
    with closing(open_index(world.index, None)) as index:
        payloads = [point.parse_payload() for point in index.scroll()]
    masks = [each for each in payloads if each.rle is not None]
    with (tmp_path / "yolo" / "images.csv").open(encoding="utf-8", newline="") as file:
        files = {row["uri"]: row["file"] for row in csv.DictReader(file)}
    assert sorted(files.values()) == sorted(read)
    assert "odd name_#%.png" in read
    assert sum(map(len, read.values())) == len(masks) == summary.objects
    for payload in masks:
        wanted = payload.decode_mask()
        same = [each for each in read[files[payload.uri]] if (each.mask == wanted).all()]
        assert [each.label for each in same] == ["object"]


def test_what_is_broken_or_gone_is_left_out(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    do(cut_a_mask, settings, "002.png")
    (tmp_path / "images" / "003.png").unlink()
    summary = export_yolo(settings, str(tmp_path / "yolo"))
    assert (summary.objects, summary.broken) == (2 * (IMAGES + 1) - 1, 1)
    read = read_dataset(tmp_path / "yolo")
    assert "003.png" not in read
    assert len(read["002.png"]) == 1
    listed = (tmp_path / "yolo" / "images.csv").read_text(encoding="utf-8")
    assert "\n003.png," in listed


def test_only_an_export_gives_way_and_only_with_force(world: Settings, tmp_path: Path) -> None:
    def export(*options: str) -> tuple[int, str]:
        command = ["export", str(tmp_path / "yolo"), "--format", "yolo", "-i"]
        done = CliRunner().invoke(app, [*command, str(world.index.location), *options])
        return done.exit_code, done.output

    code, output = export()
    assert (code, "26 objects of 13 images in" in output) == (0, True), output
    assert export()[0] == 2
    assert export("--force")[0] == 0
    (tmp_path / "yolo" / "objseek-yolo.json").unlink()
    code, output = export("--force")
    assert (code, "is neither" in output) == (2, True)
    with pytest.raises(UsageError, match="expected a folder for yolo, got s3://b/x"):
        export_yolo(world, "s3://b/x")
