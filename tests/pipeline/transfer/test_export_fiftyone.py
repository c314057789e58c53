"""An index as a dataset of FiftyOne's, read back as its importer reads the files."""

from __future__ import annotations

import base64
import io
import json
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from support.damage import cut_a_mask, do
from support.transfer_world import IMAGES, small_index
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.jobs.tag import tag_objects
from pipeline.search.searcher import Searcher
from pipeline.settings import Settings
from pipeline.transfer.export_fiftyone import export_fiftyone
from schemas.errors import UsageError
from schemas.masks import BoolMask
from schemas.tags import TagChange
from workers.indexes.open import open_index


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An index of which the first object and the first image have a tag."""
    settings = small_index(tmp_path_factory.mktemp("world"))
    with Searcher.open(settings) as searcher:
        points = sorted(searcher.index.scroll(), key=lambda point: point.id)
        for kind in ("object", "image"):
            first = next(point for point in points if point.payload["kind"] == kind)
            change = TagChange.parse([f"{kind} tag"], ())
            tag_objects([UUID(first.id)], change, searcher)
    return settings


def samples_of(folder: Path) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = json.loads((folder / "samples.json").read_text())["samples"]
    return samples


def place_mask(sample: dict[str, Any], detection: dict[str, Any]) -> BoolMask:
    """The mask of a detection in its image, as FiftyOne unpacks and places it."""
    packed = base64.b64decode(detection["mask"]["$binary"]["base64"])
    inside = np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)
    size = sample["metadata"]
    whole = np.zeros((size["height"], size["width"]), bool)
    x, y, *_ = detection["bounding_box"]
    left, top = round(x * size["width"]), round(y * size["height"])
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return whole


def test_every_mask_is_there_pixel_by_pixel(world: Settings, tmp_path: Path) -> None:
    summary = export_fiftyone(world, str(tmp_path / "out"))
    assert (summary.objects, summary.images, summary.broken) == (
        2 * (IMAGES + 1), IMAGES + 1, 0
    )  # fmt: skip
    with closing(open_index(world.index, None)) as index:
        payloads = {point.id: point.parse_payload() for point in index.scroll()}
    samples, seen = samples_of(tmp_path / "out"), set()
    for sample in samples:
        assert (tmp_path / "out" / sample["filepath"]).is_file()
        for detection in sample["objects"]["detections"]:
            payload = payloads[detection["object_id"]]
            assert payload.uri == sample["uri"]
            assert (place_mask(sample, detection) == payload.decode_mask()).all()
            x0, y0, x1, y1 = payload.bbox
            sizes = [payload.width, payload.height] * 2
            box = np.divide([x0, y0, x1 - x0, y1 - y0], sizes)
            assert detection["bounding_box"] == pytest.approx(box)
            assert detection["predicted_iou"] == payload.predicted_iou
            assert (detection["label"], detection["tags"]) == ("object", [*(payload.tags or ())])
            seen.add(detection["object_id"])
    assert seen == {name for name, each in payloads.items() if each.rle is not None}
    assert [tag for sample in samples for tag in sample["tags"]] == ["image tag"]
    ids = [sample["_id"]["$oid"] for sample in samples]
    assert ({len(each) for each in ids}, len(set(ids))) == ({24}, IMAGES + 1)


def test_the_dataset_names_every_field_that_its_samples_have(
    world: Settings, tmp_path: Path
) -> None:
    export_fiftyone(world, str(tmp_path / "out"))
    dataset = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert (dataset["media_type"], dataset["classes"]) == ("image", {"objects": ["object"]})
    fields = {field["name"]: field for field in dataset["sample_fields"]}
    sample = samples_of(tmp_path / "out")[0]
    assert {name for name in sample if not name.startswith("_")} <= set(fields)
    (detections,) = fields["objects"]["fields"]
    known = {field["name"] for field in detections["fields"]}
    own = {name for name in sample["objects"]["detections"][0] if not name.startswith("_")}
    assert own - {"attributes"} <= known


def test_what_is_broken_or_gone_is_left_out(tmp_path: Path) -> None:
    settings = small_index(tmp_path)
    do(cut_a_mask, settings, "002.png")
    (tmp_path / "images" / "003.png").unlink()
    summary = export_fiftyone(settings, str(tmp_path / "out"))
    assert (summary.objects, summary.broken) == (2 * (IMAGES + 1) - 1, 1)
    counts = {each["uri"][-7:]: len(each["objects"]["detections"])
              for each in samples_of(tmp_path / "out")}  # fmt: skip
    assert (counts["002.png"], counts["003.png"]) == (1, 2)
    assert not (tmp_path / "out" / "data" / "003.png").exists()
    assert "\n003.png," in (tmp_path / "out" / "images.csv").read_text(encoding="utf-8")


def test_only_an_export_gives_way_and_only_with_force(world: Settings, tmp_path: Path) -> None:
    def export(*options: str) -> tuple[int, str]:
        command = ["export", str(tmp_path / "out"), "--format", "fiftyone", "-i"]
        done = CliRunner().invoke(app, [*command, str(world.index.location), *options])
        return done.exit_code, done.output

    code, output = export()
    assert (code, "26 objects of 13 images in" in output) == (0, True), output
    before = (tmp_path / "out" / "samples.json").read_bytes()
    assert export()[0] == 2
    assert export("--force")[0] == 0
    assert (tmp_path / "out" / "samples.json").read_bytes() == before
    (tmp_path / "out" / "objseek-fiftyone.json").unlink()
    code, output = export("--force")
    assert (code, "is neither" in output) == (2, True)
    with pytest.raises(UsageError, match="expected a folder for fiftyone, got s3://b/x"):
        export_fiftyone(world, "s3://b/x")
