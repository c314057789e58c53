"""`objseek eval prompts`: its table and its file, of a segmenter that fills boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import eval_prompts
from pipeline.cli.commands import eval as eval_command
from schemas.boxes import BoxXyxy
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from workers.segmenter_protocols import Float32Logits, PromptedMask

app = typer.Typer()
eval_command.register(app)


class Filled:
    """Fills boxes, and round clicks on objects nothing at all."""

    name = "filled"

    def open_image(self, image: UInt8Image) -> Filled:
        self.size_hw = image.shape[:2]
        return self

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        mask = np.zeros(self.size_hw, np.bool_)
        if box_xyxy is not None:
            x0, y0, x1, y1 = map(int, box_xyxy)
            mask[y0:y1, x0:x1] = True
        rle = CocoRle.from_mask(mask)
        found = ObjectMask.measure(rle, predicted_iou=1.0, stability_score=1.0)
        return PromptedMask(found, np.zeros((4, 4), np.float32))

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        return [[] for _ in images]


def test_every_prompt_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval_prompts, "build_segmenter", lambda *_: Filled())
    file = tmp_path / "figures.json"
    call = ["prompts", "--scenes", "2", "--seed", "3", "--json", str(file)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["prompt", "IoU", ">=", "0.5", "IoU", ">=", "0.8", "mean", "IoU"]
    figures = json.loads(file.read_text())["prompts"]
    assert set(figures) == set(eval_prompts.ROWS)
    click, box = figures["click"], figures["tight_box"]
    assert (click["share_50"], click["mean_iou"]) == (0, 0)
    assert 0.4 < box["mean_iou"] < 0.9
    assert figures["box_50"]["mean_iou"] < figures["box_25"]["mean_iou"] < box["mean_iou"]
    # Nothing is found in the image, so that a box has the answer to it.
    assert figures["tight_box_generated"] == box
    text = f"{box['share_50']:.3f} ({box['interval_50'][0]:.3f} to {box['interval_50'][1]:.3f})"
    (row,) = [line for line in lines if line.startswith("tight box  ")]
    assert text in row
    assert lines[-1].startswith(f"{box['objects']} objects prompted in 2 images")


def test_a_segmenter_must_take_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = "plain"

    monkeypatch.setattr(eval_prompts, "build_segmenter", lambda *_: Plain())
    result = CliRunner().invoke(app, ["prompts", "--scenes", "1"])
    assert result.exit_code != 0
    assert "expected a segmenter that takes clicks and boxes, got plain" in result.output
