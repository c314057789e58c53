"""`objseek eval masks`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from support.drawn_detections import SIZE_HW, draw_image, draw_mask
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_commands
from pipeline.cli.reports.mask_figures import ROWS
from pipeline.evaluation.masks.evaluation import MaskEvaluation
from pipeline.evaluation.masks.found_masks import read_found
from schemas.coco_reader import load_truth
from schemas.errors import UsageError
from schemas.masks import CocoRle

app = typer.Typer()
eval_commands.register(app)
IMAGES, MASKS = 6, 4


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def describe(rle: CocoRle, image: int, category: int, **more: object) -> dict[str, Any]:
    segmentation = {"size": list(rle.size_hw), "counts": rle.counts}
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of four masks, cats and dogs."""
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    path = tmp_path_factory.mktemp("masks") / "truth.json"
    document = {
        "images": [
            {"id": n, "file_name": f"cats/{n}.jpg", "height": height, "width": width}
            for n in range(IMAGES)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            describe(CocoRle.from_mask(draw_mask(rng)), n, 1 + place % 2, id=n * MASKS + place)
            for n in range(IMAGES)
            for place in range(MASKS)
        ],
    }
    path.write_text(json.dumps(document))
    return path


def write_results(path: Path, truth: Path, entries: Sequence[dict[str, Any]] | None = None) -> Path:
    """A list of results: what is given, else all of the truth."""
    found = json.loads(truth.read_text())["annotations"] if entries is None else entries
    path.write_text(json.dumps([{**entry, "score": 0.5} for entry in found]))
    return path


def read_figures(path: Path) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in json.loads(path.read_text())["masks"].items()}


def test_the_truth_against_itself_is_1(truth: Path, tmp_path: Path) -> None:
    found = write_results(tmp_path / "found.json", truth)
    result = run("masks", "--truth", truth, "--pred", found, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = read_figures(tmp_path / "figures.json")
    assert set(figures) == set(ROWS)
    exact = ("ap", "ap_any_class", "boundary_ap", "mean_iou", "mean_boundary_iou", "contour_f")
    assert [figures[name] for name in exact] == pytest.approx([1.0] * len(exact))
    assert "24 masks found, 24 true, in 6 images" in result.output
    assert "AP at IoU 0.75" in result.output
    assert "(background)" in result.output


def test_an_instances_file_is_matched_by_names(truth: Path, tmp_path: Path) -> None:
    document = json.loads(truth.read_text())
    for image in document["images"]:
        image["file_name"] = f"s3://bucket/{image['file_name']}"
        image["id"] += 70
    for annotation in document["annotations"]:
        annotation["image_id"] += 70
        annotation["category_id"] += 4
    document["categories"] = [{"id": 5, "name": "cat"}, {"id": 6, "name": "dingo"}]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(document))
    result = run("masks", "--truth", truth, "--pred", path, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = read_figures(tmp_path / "figures.json")
    assert figures["ap_any_class"] == pytest.approx(1)
    assert figures["ap"] == pytest.approx(0.5)  # all cats, no dog
    assert json.loads((tmp_path / "figures.json").read_text())["class_accuracy"] == 0.5
    document["images"][0]["height"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"the ground truth has cats/0\.jpg as 180 x 140 pixels"):
        read_found(path, load_truth(truth))


def test_masks_without_classes_have_the_figures_of_any_class(truth: Path, tmp_path: Path) -> None:
    entries = json.loads(truth.read_text())["annotations"]
    found = [{**entry, "category_id": 99} for entry in entries[:12]]
    path = write_results(tmp_path / "found.json", truth, found)
    result = run("masks", "--truth", truth, "--pred", path, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = read_figures(tmp_path / "figures.json")
    assert figures["ar_100"] == pytest.approx(0.5)
    assert figures["mean_iou"] == pytest.approx(1)
    assert "ap" not in figures
    assert "miou" not in figures


def test_what_is_wrong_is_left_out_or_refused(truth: Path, tmp_path: Path) -> None:
    entries = json.loads(truth.read_text())["annotations"]
    bad = {**entries[0], "segmentation": {"size": [3, 3], "counts": "1"}}
    path = write_results(tmp_path / "found.json", truth, [entries[1], bad])
    result = run("masks", "--truth", truth, "--pred", path)
    assert result.exit_code == 0, result.output
    assert "left out: annotation 2 (id 0): expected a mask of [140, 180], got one" in result.output
    assert "1 mask found" in result.output
    result = run("masks", "--truth", truth, "--pred", path, "--strict")
    assert result.exit_code == 2
    assert "found.json, annotation 2 (id 0): expected a mask" in result.output
    path.write_text("3")
    result = run("masks", "--truth", truth, "--pred", path)
    assert result.exit_code == 2
    assert "expected a list of results or a COCO instances file" in result.output


def test_its_interval_holds_a_figure_that_images_agree_on() -> None:
    evaluation = MaskEvaluation()
    for seed in range(30):
        evaluation.add(draw_image(np.random.default_rng(seed)))
    scores = evaluation.measure(samples=100)
    for name, figure in scores.figures.items():
        if name.endswith("_large"):  # of which there is none
            assert figure.value is None
            continue
        assert figure.value is not None, name
        assert figure.low is not None, name
        assert figure.high is not None, name
        assert figure.low <= figure.value <= figure.high, name
        assert 0 <= figure.low < figure.high <= 1, name
    again = evaluation.measure(samples=100)
    assert again.figures == scores.figures
    assert MaskEvaluation().measure().figures["ap_any_class"].value is None
