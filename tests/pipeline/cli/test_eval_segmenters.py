"""`objseek eval demo --segmenters`: a row for each, of the same scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_command
from pipeline.cli.eval_segmenters import SEGMENTERS, list_segmenters
from schemas.errors import UnknownModelError, UsageError
from workers.models import catalog

app = typer.Typer()
eval_command.register(app)


def test_every_segmenter_has_a_row(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    names = "maskrcnn_demo,boxes,grid"
    call = ["demo", "--segmenters", names, "--scenes", "2", "--seed", "77", "--json", str(file)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == names.split(",")
    figures = json.loads(file.read_text())["segmenters"]
    boxes, grid, instances = (figures[name] for name in ("boxes", "grid", "maskrcnn_demo"))
    assert (boxes["ap"], boxes["class_accuracy"], grid["masks"]) == (None, None, 16)
    assert grid["object_recall_50"] < boxes["object_recall_50"] < instances["object_recall_50"]
    assert instances["mean_iou"] > 0.7
    assert 0 < instances["ap"] < 1
    assert instances["ap_unlabelled"] > boxes["ap_unlabelled"]
    assert 0.2 < instances["class_accuracy"] <= 1


def test_all_are_those_that_need_no_download() -> None:
    assert list_segmenters("all") == [*SEGMENTERS]
    sources = {catalog.find(name.partition(":")[0]).source for name in SEGMENTERS}
    assert sources == {"bundled", "none"}


def test_what_is_no_segmenter_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="'maskrcnn_demo'"):
        list_segmenters("grid,maskrcnn-demo")
    with pytest.raises(UsageError, match="expected sam_demo:grid or sam_demo:adaptive, got"):
        list_segmenters("sam_demo:dense")
    result = CliRunner().invoke(app, ["prompts", "--segmenters", "all"])
    assert result.exit_code != 0
    assert "--segmenters goes with `eval demo`" in result.output
