"""Every command that looks at an index finds its record where --state says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.colour_world import build_index
from typer.testing import CliRunner

from pipeline.cli.command_list import COMMANDS
from pipeline.cli.main import app, load_command
from pipeline.service import server
from pipeline.settings import Settings

# The demo keeps both together, `eval` and `tune` measure, and a server is set up before
# there is a record.
WITHOUT = {"demo", "eval", "init", "tune"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index whose record is elsewhere."""
    folder = tmp_path_factory.mktemp("apart")
    build_index(folder)
    shutil.move(folder / "index" / "manifest", folder / "state")
    return folder


def test_what_takes_an_index_takes_its_state() -> None:
    commands = {name: load_command(name) for name in COMMANDS}
    options = {
        name: {spelling for option in command.params for spelling in option.opts}
        for name, command in commands.items()
    }
    of_an_index = {name for name, spellings in options.items() if "--index" in spellings}
    assert {name for name in of_an_index if "--state" not in options[name]} == WITHOUT


def test_duplicates_are_found_by_it(world: Path) -> None:
    call = ["duplicates", "-i", str(world / "index")]
    lost = CliRunner().invoke(app, call)
    assert (lost.exit_code, "nothing was ingested there" in lost.stderr) == (1, True)
    found = CliRunner().invoke(app, [*call, "--state", str(world / "state")])
    assert found.exit_code == 0, found.output
    assert "3 of 3 images compared" in found.stderr


def test_a_service_keeps_it_for_its_ingests(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(server, "serve", lambda settings, *_, **__: served.append(settings))
    call = ["serve", "-i", str(world / "index"), "--state", str(world / "state")]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert [settings.index.state for settings in served] == [str(world / "state")]
