"""A hundred wrong calls: each a sentence on stderr, an exit code, and no traceback."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import Result
from support import wrong_job_calls, wrong_query_calls
from support.colour_world import build_index
from support.commands import objseek
from typer.testing import CliRunner

from pipeline.cli.main import COMMANDS, app

CALLS = [*wrong_job_calls.CALLS, *wrong_query_calls.CALLS]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    build_index(folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("notes")
    (folder / "bad.toml").write_text("[index\n")
    (folder / "odd.toml").write_text("[segmenter]\npoints = 5\n")
    (folder / "list.json").write_text("[]")
    (folder / "no.json").write_text("no")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def call(line: str, world: Path) -> Result:
    return CliRunner().invoke(app, shlex.split(line.replace("{w}", str(world))))


@pytest.mark.parametrize(("line", "sentence"), CALLS, ids=[line for line, _ in CALLS])
def test_a_wrong_call_is_a_sentence(
    world: Path, line: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(line, world)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    # Typer frames what is wrong with a call, and folds it.
    told = " ".join(result.stderr.replace("│", " ").split())
    assert sentence.replace("{w}", str(world)).replace(" ", "") in told.replace(" ", "")
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_called_wrongly() -> None:
    assert {line.split()[0] for line, _ in CALLS} >= set(COMMANDS)
    assert len(CALLS) >= 100


@pytest.mark.parametrize(
    "line",
    [
        "search --image none.png --index {w}/index",
        "ingest {w}/notes --index new",
        "serve --index none",
        "reembed --index {w}/index",
        "sarch cats",
    ],
)
def test_a_process_of_its_own_says_the_same(world: Path, line: str) -> None:
    done = objseek(*shlex.split(line.replace("{w}", str(world))))
    assert done.returncode in (1, 2)
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert "rror" in done.stderr
