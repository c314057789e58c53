"""A segmenter that knows classes, fetched, through ingest and search; and boxes without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT
from support.tiny_segmenters import DETECTOR, FAMILIES, NAMES, SAM2, HubHandler, write_folder

from schemas.options import IndexOptions
from workers.indexes.open import open_index
from workers.models import catalog

LABELLED = ("rf_detr_seg_nano", "eomt_coco_panoptic_s", "segformer_b0_ade")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a hub that has tiny models under the names of real ones."""
    root = tmp_path_factory.mktemp("hub")
    families = [*(family for family in FAMILIES if family.name in LABELLED), DETECTOR, SAM2]
    repositories = {
        catalog.find(family.name).hub_repo: write_folder(family, root / family.name)
        for family in families
    }
    handler = type("Hub", (HubHandler,), {"repositories": repositories, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(3):
        blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1)).save(folder / f"{number}.png")
    return folder


def run(folder: Path, hub: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A command on the index in `folder`, weights from `hub`."""
    env = {
        **os.environ, "HF_ENDPOINT": hub, "PYTHONPATH": str(ROOT),
        "OBJSEEK_CACHE_DIR": str(folder / "models"), "OBJSEEK_RUNNER__NAME": "local",
        "OBJSEEK_SEGMENTER__SCORE_THRESH": "0.05", "OBJSEEK_SEGMENTER__MAX_AREA_FRAC": "1",
        "OBJSEEK_SEGMENTER__OVERLAP_MASK_AREA_THRESHOLD": "0",
    }  # fmt: skip
    ours = [sys.executable, "-c", "import objseek; objseek.run_command()"]
    command = [*ours, *args]
    if args[0] != "segment":
        command += ["--index", str(folder / "index")]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def read_labels(folder: Path) -> dict[str, str | None]:
    """What the segmenter called every object, by its id."""
    labels = {}
    with open_index(IndexOptions(location=str(folder)), None) as index:
        for point in index.scroll():
            payload = point.parse_payload()
            if payload.kind == "object":
                assert payload.predicted_iou is None
                assert 0 < payload.segmenter_score <= 1
                labels[str(point.id)] = payload.segmenter_label
    assert set(labels.values()) <= set(NAMES)
    return labels


@pytest.mark.long
@pytest.mark.parametrize("name", LABELLED)
def test_what_a_segmenter_says_can_be_searched_for(
    name: str, hub: str, images: Path, tmp_path: Path
) -> None:
    args = ["ingest", str(images), "--segmenter", name]
    if catalog.find(name).restriction:
        refused = run(tmp_path, hub, *args)
        assert refused.returncode == 2
        assert "--accept-licence" in refused.stderr
        assert "Traceback" not in refused.stderr
        args.append("--accept-licence")
    done = run(tmp_path, hub, *args)
    assert done.returncode == 0, done.stderr
    stored = read_labels(tmp_path / "index")
    assert len(stored) >= 3
    label = next(iter(stored.values()))
    condition = f"segmenter_label={label}"
    found = run(tmp_path, hub, "search", "anything", "--filter", condition, "--json")
    assert found.returncode == 0, found.stderr
    ids = [hit["object_id"] for hit in json.loads(found.stdout)]
    assert ids
    assert {stored[object_id] for object_id in ids} == {label}
    again = run(tmp_path, hub, *args)
    assert again.returncode == 0, again.stderr
    assert "Nothing to do" in again.stdout


@pytest.mark.long
def test_texts_are_looked_for_by_a_detector(hub: str, images: Path, tmp_path: Path) -> None:
    args = ["ingest", str(images), "--segmenter", "grounded:a mug,small dog"]
    done = run(tmp_path, hub, *args)
    assert done.returncode == 0, done.stderr
    assert f"{DETECTOR.name}: " in done.stderr
    assert f"{SAM2.name}: " in done.stderr
    with open_index(IndexOptions(location=str(tmp_path / "index")), None) as index:
        payloads = [point.parse_payload() for point in index.scroll()]
    objects = [payload for payload in payloads if payload.kind == "object"]
    assert objects
    assert {payload.segmenter_label for payload in objects} <= {"a mug", "small dog"}
    assert {payload.segmenter for payload in objects} == {"grounded:a mug,small dog"}
    assert all(payload.predicted_iou is not None for payload in objects)
    label = f"segmenter_label={objects[0].segmenter_label}"
    found = run(tmp_path, hub, "search", "anything", "--filter", label, "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)
    again = run(tmp_path, hub, *args)
    assert "Nothing to do" in again.stdout
    # Its weights are at hand now.
    after = run(
        tmp_path, hub, "segment", str(images / "0.png"), "--text", "a mug", "--json",
        "--min-probability", "0",
    )  # fmt: skip
    assert after.returncode == 0, after.stderr
    assert f"the texts are found by {DETECTOR.name}" in after.stderr
    (picture,) = json.loads(after.stdout)["images"]
    assert {mask["label"] for mask in picture["masks"]} == {"a mug"}


@pytest.mark.long
def test_boxes_are_indexed_without_a_model(hub: str, images: Path, tmp_path: Path) -> None:
    boxes = {
        "images": [{"id": 1, "file_name": "0.png", "width": 128, "height": 96}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [10, 20, 30, 40]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    done = run(
        tmp_path, hub, "ingest", str(images), "--segmenter", "boxes", "--boxes", "boxes.json"
    )
    assert done.returncode == 0, done.stderr
    with open_index(IndexOptions(location=str(tmp_path / "index")), None) as index:
        payloads = [point.parse_payload() for point in index.scroll()]
    found = [payload.bbox for payload in payloads if payload.kind == "object"]
    assert found == [(10, 20, 40, 60)]
