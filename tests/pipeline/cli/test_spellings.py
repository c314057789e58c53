"""--state is a place and --json prints, wherever they are; older spellings are taken, and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.colour_world import add_failures, build_index
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from pipeline.cli.command_list import COMMANDS
from pipeline.cli.commands.eval import _rename_figures
from pipeline.cli.figures_file import open_target, write_figures
from pipeline.cli.main import app, load_command


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def index(tmp_path: Path) -> Path:
    add_failures(build_index(tmp_path), tmp_path)
    return tmp_path / "index"


def test_json_is_a_flag_and_state_a_place_in_every_command() -> None:
    for name in COMMANDS:
        command = load_command(name)
        inner = command.commands.values() if isinstance(command, TyperGroup) else [command]
        for each in inner:
            named = {opt: parameter for parameter in each.params for opt in parameter.opts}
            if "--json" in named:
                assert getattr(named["--json"], "is_flag", False), name
            if "--state" in named:
                shown = getattr(named["--state"], "help", "")
                assert shown.startswith("Where the record of each image is kept"), name


def test_only_chooses_states(index: Path) -> None:
    result = run("failures", "-i", index, "--only", "gone", "-j")
    assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == ["gone"]
    assert result.stderr == ""


def test_the_older_spelling_of_states_is_taken_and_told(index: Path) -> None:
    both = run("failures", "-i", index, "--state", "gone", "--state", "rejected", "--json")
    states = [json.loads(line)["state"] for line in both.stdout.splitlines()]
    assert states == ["gone", "rejected"]
    assert both.stderr == (
        "note: --state gone --state rejected is spelt --only gone --only rejected now\n"
    )
    assert run("-q", "failures", "-i", index, "--state", "gone").stderr == ""


def test_the_older_spelling_of_the_place_is_taken_and_told(index: Path) -> None:
    place = index / "manifest"
    for option in ("--state", "--state-place"):
        result = run("failures", "-i", index, option, place, "--json")
        assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "note: --state-place is spelt --state now\n"


def test_figures_go_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert _rename_figures(["demo", "--json", "a.json", "--scenes", "2"]) == [
        "demo", "--figures", "a.json", "--scenes", "2",
    ]  # fmt: skip
    assert _rename_figures(["--json=a.json"]) == ["--figures=a.json"]
    told = "note: --json a.json is spelt --figures a.json now\n"
    assert capsys.readouterr().err == 2 * told
    for args in (["demo", "--json"], ["--json", "demo"], ["--json", "--scenes", "2"]):
        assert _rename_figures(args) == args
    assert capsys.readouterr().err == ""


def test_figures_as_json_are_all_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    with open_target(path, as_json=True) as target:
        print("a table")
        write_figures({"recall": 0.5}, 1.04, target)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"recall": 0.5, "seconds": 1.0}
    assert (printed.err, path.read_text()) == ("a table\n", printed.out)


def test_masks_are_measured_to_standard_output(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    box = {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]], "area": 16}
    instance = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, **box}
    truth.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}],
                "annotations": [instance],
                "categories": [{"id": 1, "name": "square"}],
            }
        )
    )
    result = run("eval", "masks", "--truth", truth, "--pred", truth, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 1
    assert "figure" in result.stderr
