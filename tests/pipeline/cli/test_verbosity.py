"""--quiet and --verbose, before and after the name of a command."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import fakes
from typer.testing import CliRunner, Result

from pipeline.cli.console import err
from pipeline.cli.main import app
from pipeline.cli.progress_bars import PlainProgress, show_progress
from pipeline.cli.verbosity import is_quiet, is_verbose
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def recipe(settings: Settings) -> Recipe:
        return fakes.recipe(settings)

    monkeypatch.setattr("pipeline.jobs.ingest.build_recipe", recipe)
    fakes.write_images(tmp_path / "images", 3)
    return tmp_path / "images"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("before", [True, False])
def test_quiet_leaves_the_result_alone(images: Path, before: bool) -> None:
    call = ["ingest", images, "-i", images.parent / "index", "--runner", "local"]
    result = run("--quiet", *call) if before else run(*call, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert ["done", "3"] in [line.split() for line in result.stdout.splitlines()]


def test_what_is_usual_has_progress_and_no_log(images: Path) -> None:
    result = run("ingest", images, "-i", images.parent / "index", "--runner", "local")
    assert "Listing images" in result.stderr
    assert "INFO" not in result.stderr


@pytest.mark.parametrize("before", [True, False])
def test_verbose_prints_log_lines(images: Path, before: bool) -> None:
    call = ["ingest", images, "-i", images.parent / "index", "--runner", "local"]
    result = run("-v", *call) if before else run(*call, "--verbose")
    assert result.exit_code == 0
    assert " INFO pipeline.ingestion.session: 3 of 3 images, 6 objects" in result.stderr
    assert "Listing images" in result.stderr


def test_errors_are_told_quietly(tmp_path: Path) -> None:
    result = run("failures", "-q", "-i", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: expected an index at ")


def test_notes_are_not(images: Path) -> None:
    index = images.parent / "index"
    run("ingest", images, "-i", index, "--runner", "local")
    assert run("failures", "-i", index).stderr == "0 images\n"
    assert run("failures", "-i", index, "-q").stderr == ""


def test_a_command_leaves_nothing_behind_for_the_next(images: Path) -> None:
    handlers = list(logging.getLogger().handlers)
    run("-v", "status", "-i", images.parent / "none")
    run("-q", "status", "-i", images.parent / "none")
    assert (is_quiet(), is_verbose()) == (False, False)
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger("pipeline").level == logging.NOTSET
    assert isinstance(show_progress(err()), PlainProgress)


def test_quiet_progress_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cli.progress_bars.is_quiet", lambda: True)
    assert type(show_progress(err())) is Progress


def test_a_group_of_commands_has_both(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    assert run("keys", "create", "me", "--keys", keys).stderr != ""
    quiet = run("keys", "create", "you", "--keys", keys, "-q")
    assert (quiet.exit_code, quiet.stderr, quiet.stdout != "") == (0, "", True)
