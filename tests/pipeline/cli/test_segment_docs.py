"""What docs/segment-command.md says: its commands run, its options are those that there are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from support.colour_world import paint
from support.paths import ROOT
from support.segment_world import PromptableColours, source_of
from typer.testing import CliRunner

import pipeline.cli.run_segment
from pipeline.cli.commands import segment
from pipeline.cli.main import load_command
from pipeline.settings import Settings
from workers.labelling.calibration import calibration_of

PAGE = (ROOT / "docs" / "segment-command.md").read_text()
COMMANDS = re.findall(r"^objseek segment (.*)$", PAGE, re.MULTILINE)


def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Source:
        @staticmethod
        def of(settings: Settings) -> object:
            return source_of(settings, PromptableColours())

    monkeypatch.setattr(pipeline.cli.run_segment, "ModelSource", Source)
    monkeypatch.setattr(pipeline.cli.run_segment, "prepare_models", lambda settings, **_: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    paint(tmp_path / "photos")
    shutil.copy(tmp_path / "photos" / "one.png", tmp_path / "kitchen.jpg")
    (tmp_path / "things.txt").write_text("red\nblue\n")
    boxes = {
        "images": [{"id": 1, "file_name": "two.png", "width": 120, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [8, 8, 34, 44]}],
    }
    (tmp_path / "detections.json").write_text(json.dumps(boxes))
    app = typer.Typer()
    segment.register(app)
    assert len(COMMANDS) == 6
    for command in COMMANDS:
        # The fakes know colours alone.
        result = CliRunner().invoke(app, shlex.split(command.replace("a red apple", "red")))
        assert result.exit_code == 0, (command, result.output)
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"masks.png", "masks", "apples.json", "panoptic.json", "panoptic"}
    assert (tmp_path / "masks" / "kitchen-001.png").is_file()
    assert len((tmp_path / "masks.jsonl").read_text().splitlines()) == 1


def test_every_option_of_its_own_is_described() -> None:
    shared = {option for name in ("ingest",) for option in options_of(name)}
    own = options_of("segment") - (shared - {"--boxes"})
    assert own
    assert [name for name in sorted(own) if f"`{name}" not in PAGE] == []


def options_of(command: str) -> set[str]:
    return {
        name
        for parameter in load_command(command).params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }


def test_the_numbers_of_the_curve_are_those_in_use() -> None:
    demo = calibration_of("clip_demo")
    assert f"for `clip_demo` {demo.image_odds} are added to the log odds" in PAGE
    assert f"Masks of {demo.shown} or more are returned" in PAGE
    assert f"and {calibration_of('other').shown}, which nobody has measured" in PAGE
