"""`objseek demo` and `objseek eval` from end to end, small, on the bundled models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.demo.run import choose_labels
from pipeline.demo.s3_server import BUCKET, serve_bucket
from schemas.coco import CocoAnnotation, CocoCategory, CocoTruth
from schemas.options import StoreOptions
from workers.stores.open import build_store

FIGURES = {
    "object_recall_50", "object_recall_75", "mean_iou", "label_r1", "label_r10", "keyword_r1",
    "keyword_r10", "hybrid_label_r1", "hybrid_label_r10", "hybrid_keyword_r1",
    "hybrid_keyword_r10", "present_weak", "absent_weak", "similar_r10", "images", "objects",
    "seconds", "left_out", "box_r1", "box_25_r1", "box_50_r1", "unlearnt_texts",
    "calibration_error", "first_calibration_error",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJSEEK_SEGMENTER__POINTS_PER_SIDE", "8")


@pytest.mark.long
def test_demo_then_again_then_eval_of_its_index(tmp_path: Path) -> None:
    run = CliRunner().invoke
    command = ["demo", "--out", str(tmp_path), "--scenes", "3", "--runner", "local"]
    first = run(app, command)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("3 images with ")
    sheets = sorted((tmp_path / "sheets").iterdir())
    assert len(sheets) >= 4
    for path in sheets:
        with Image.open(path) as sheet:
            assert sheet.width > 600
        assert str(path) in first.stdout.replace("\n", "")
    again = run(app, command)
    assert again.exit_code == 0, again.stderr
    assert "nothing to do" in again.stdout
    search_result = run(app, [*command, "a cat/dog?", "a house"])
    assert search_result.exit_code == 0, search_result.stderr
    new = {path.name for path in (tmp_path / "sheets").iterdir()} - {path.name for path in sheets}
    assert {"a-cat-dog-.png", "a-house.png"} >= new >= {"a-cat-dog-.png"}
    assert "a-cat-dog-.png" in search_result.stdout

    figures = tmp_path / "scores.json"
    truth, index = str(tmp_path / "bucket" / "truth.json"), str(tmp_path / "index")
    scored = run(app, ["eval", "--truth", truth, "--index", index, "--figures", str(figures)])
    assert scored.exit_code == 0, scored.stderr
    scores = json.loads(figures.read_text())
    assert set(scores) == FIGURES
    assert scores["images"] == 3
    assert scores["left_out"] == []
    assert 0 < scores["object_recall_50"] <= 1
    assert "objects found at IoU >= 0.5" in scored.stdout


@pytest.mark.long
def test_eval_demo_makes_its_own_set(tmp_path: Path) -> None:
    figures = tmp_path / "scores.json"
    command = ["eval", "demo", "--scenes", "2", "--runner", "local", "--figures", str(figures)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    scores = json.loads(figures.read_text())
    assert (scores["images"], scores["held_out"]["images"]) == (2, 2)
    assert set(scores["held_out"]) < set(scores) - {"seconds"}
    assert "seen styles" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["demo", "--truth", "t.json"]])
def test_eval_wants_one_thing(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *arguments])
    assert result.exit_code == 2
    assert "expected one of `eval demo`, `eval prompts`, `eval segmentation`" in result.stderr


def test_eval_without_truth_file_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["eval", "--truth", str(tmp_path / "no.json")])
    assert result.exit_code != 0
    assert "Traceback" not in result.stderr


def test_scenes_are_served_over_s3_with_keys_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "1.jpg").write_bytes(b"one")
    with serve_bucket(tmp_path) as place:
        assert os.environ["AWS_ACCESS_KEY_ID"] == "demo"
        assert "AWS_PROFILE" not in os.environ
        assert place.source == f"s3://{BUCKET}/scenes/"
        store = build_store(place.source, StoreOptions(endpoint_url=place.endpoint_url))
        refs = list(store.list_images(lambda reason, uri: None))
        assert [(ref.uri, store.read(ref)) for ref in refs] == [
            (f"s3://{BUCKET}/scenes/1.jpg", b"one")
        ]
    assert os.environ["AWS_ACCESS_KEY_ID"] == "mine"
    assert os.environ["AWS_PROFILE"] == "mine"


def test_queries_are_favourites_first_then_frequent_and_visible() -> None:
    categories = [CocoCategory(id=n, name=name) for n, name in enumerate(("tooth", "cat", "owl"))]

    def shown(number: int, category: int, visible: float) -> CocoAnnotation:
        return CocoAnnotation(
            id=number, image_id=1, category_id=category, bbox=(0, 0, 1, 1), area=1,
            segmentation=[], visible_fraction=visible,
        )  # fmt: skip

    annotations = [shown(1, 0, 1), shown(2, 0, 1), shown(3, 1, 0.9), shown(4, 2, 0.2)]
    truth = CocoTruth(images=[], annotations=annotations, categories=categories)
    assert choose_labels(truth, 5) == ["cat", "tooth"]
    annotations += [shown(5, 2, 1), shown(6, 2, 1)]
    truth = CocoTruth(images=[], annotations=annotations, categories=categories)
    assert choose_labels(truth, 2) == ["owl", "cat"]
