"""The command line: options, exit codes, one sentence instead of a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from support import fakes
from support.paths import ROOT
from typer.testing import CliRunner

from pipeline.cli.console import user_errors
from pipeline.cli.main import COMMANDS, app, load_command
from pipeline.cli.options import MAX_DELETE
from pipeline.jobs import sync
from pipeline.runners.recipe import Recipe
from pipeline.settings import Settings
from schemas.errors import ModelError, UsageError
from schemas.options import IndexOptions
from workers.indexes.open import open_index

OPTIONS = (
    "--index", "--segmenter", "--embedder", "--endpoint-url", "--profile", "--anonymous",
    "--requester-pays", "--include", "--exclude", "--limit", "--workers", "--batch-size",
    "--device", "--runner", "--ray-address", "--config",
)  # fmt: skip
HEAVY = ("torch", "ray", "qdrant_client", "qdrant_edge", "open_clip", "boto3", "pyarrow", "numpy")


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with models that need no weights."""

    def recipe(settings: Settings) -> Recipe:
        return fakes.recipe(settings)

    for job in ("ingest", "retry"):
        monkeypatch.setattr(f"pipeline.jobs.{job}.build_recipe", recipe)


def objseek(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def ingest(source: str | Path, index: Path, *options: str | Path) -> tuple[int, str, str]:
    return objseek("ingest", source, "--index", index, "--runner", "local", *options)


def summary(out: str) -> dict[str, str]:
    pairs = (line.rsplit("  ", 1) for line in out.splitlines() if "  " in line)
    return {name.strip(): value for name, value in pairs}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit as end: assert not end.code\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.endswith("heavy: []\n")
    for command in ("ingest", "search", "sync", "status", "failures", "retry", "verify", "models"):
        assert command in found.stdout


@pytest.mark.parametrize(
    "option",
    OPTIONS,
)
def test_ingest_has_the_option(option: str) -> None:
    assert option in [
        name for parameter in load_command("ingest").params for name in parameter.opts
    ]


@pytest.mark.parametrize("command", ["sync", "retry", "verify", "status"])
def test_commands_for_what_an_ingest_made_take_its_options(command: str) -> None:
    given = {name for parameter in load_command(command).params for name in parameter.opts}
    wanted = set(OPTIONS) - {"--limit"}
    if command in ("verify", "status"):  # they run no model
        wanted -= {"--segmenter", "--embedder", "--device"}
        wanted -= {"--workers", "--batch-size", "--runner", "--ray-address"}
        assert "--segmenter" not in given
    assert wanted <= given


@pytest.mark.usefixtures("_fakes")
def test_ingest_prints_a_summary_and_does_nothing_twice(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 5)
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    (tmp_path / "images" / "notes.txt").write_text("notes")
    (tmp_path / "images" / "hollow.png").touch()
    code, out, err = ingest(tmp_path / "images", tmp_path / "index")
    assert (code, "Error" in err) == (0, False)
    hollow = f"skipped, zero bytes: {(tmp_path / 'images' / 'hollow.png').as_uri()}"
    assert hollow in out
    printed = summary(out)
    counts = [printed[name] for name in ("listed", "done", "rejected", "objects")]
    assert tuple(counts) == (
        "6",
        "5",
        "1",
        "10",
    )
    assert printed["skipped: not an image by its suffix"] == "1"
    assert printed["index"] == str(tmp_path / "index")
    log = Path(printed["log"]).read_text()
    assert "bad.png" in log
    assert "6 of 6 images, 10 objects" in log
    assert "rejected: expected an image" in out
    assert "bad.png" in out
    code, out, _ = ingest(tmp_path / "images", tmp_path / "index")
    assert code == 0
    assert (summary(out)["unchanged"], summary(out)["done"]) == ("6", "0")
    assert "Nothing to do" in out
    rest = f"objseek failures --index {tmp_path / 'index'}"
    assert f"1 image was rejected as bad input: {rest}" in out
    assert "log" not in summary(out)


@pytest.mark.usefixtures("_fakes")
def test_sync_verify_and_repair(tmp_path: Path) -> None:
    images, index = tmp_path / "images", tmp_path / "index"
    fakes.write_images(images, 10)
    options = ("--index", index, "--runner", "local")
    code, out, _ = objseek("sync", images, *options)
    assert code == 0
    assert out.startswith("removed 0 images that are no longer there\n")
    assert summary(out)["done"] == "10"
    (images / "004.png").unlink()
    place = ("--index", index)
    code, out, _ = objseek("verify", images, *place)
    assert code == 1
    assert out.splitlines()[1].split() == ["gone", (images / "004.png").as_uri()]
    assert out.splitlines()[-1] == "30 points and 10 done images compared: 1 gone"
    code, out, err = objseek("sync", images, *options, "--max-delete", "0.05")
    assert (code, out) == (2, "")
    assert "1 of the 10 images" in err
    assert "--max-delete 0.05" in err
    code, out, _ = objseek("sync", images, *options)
    assert code == 0
    assert out.startswith("removed 1 image that is no longer there\n")
    assert "\nNothing else to do: everything was processed before" in out
    with open_index(IndexOptions(location=str(index)), None) as opened:  # type: ignore[attr-defined]
        opened.delete_points([next(opened.scan()).id])
    code, out, _ = objseek("verify", "--json", *place)
    report = json.loads(out)
    assert code == 1
    assert (report["points"], report["damaged_images"], report["repaired"]) == (26, 1, False)
    assert [finding["fault"] for finding in report["findings"]] == ["missing"]
    code, out, err = objseek("verify", "--repair", *place)
    assert code == 1
    assert "1 image will be done again by the next ingest or retry" in err
    assert objseek("retry", *options)[0] == 0
    code, out, _ = objseek("verify", images, *place)
    assert (code, out) == (
        0,
        "27 points and 9 done, 1 gone images compared: nothing is wrong\n",
    )
    code, out, _ = objseek("retry", *options)
    assert (code, out) == (0, "Nothing to do: no image is failed.\n")


@pytest.mark.usefixtures("_fakes")
def test_options_variables_and_file_reach_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.write_images(tmp_path / "images", 9)
    (tmp_path / "objseek.toml").write_text("limit = 4\n[store]\nexclude = ['*000.png']\n")
    monkeypatch.setenv("OBJSEEK_INDEX__LOCATION", str(tmp_path / "index"))
    monkeypatch.setenv("OBJSEEK_CONFIG", str(tmp_path / "objseek.toml"))
    arguments = ("ingest", tmp_path / "images", "--runner", "local")
    code, out, _ = objseek(*arguments, "--include", "*00[0-3].png", "--batch-size", "2")
    assert code == 0
    assert summary(out)["done"] == "3"
    assert summary(out)["index"] == str(tmp_path / "index")
    assert summary(objseek(*arguments, "--limit", "5")[1])["listed"] == "5"


@pytest.mark.usefixtures("_fakes")
def test_a_failed_image_makes_the_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.write_images(tmp_path / "images", 3)
    fakes.write_image(tmp_path / "images" / "poison.png", 3, fakes.POISON)
    monkeypatch.setattr(
        "pipeline.jobs.ingest.build_recipe", lambda settings: fakes.recipe(settings, "error")
    )
    code, out, _ = ingest(tmp_path / "images", tmp_path / "index")
    assert code == 1
    assert summary(out)["failed"] == "1"
    assert "failed: no memory is left on the device" in out


@pytest.mark.usefixtures("_fakes")
def test_many_failures_point_to_the_command_that_lists_them(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 1)
    for number in range(13):
        (tmp_path / "images" / f"bad{number}.png").write_bytes(b"x")
    code, out, _ = ingest(tmp_path / "images", tmp_path / "index")
    assert code == 0
    assert out.count("rejected: expected an image") == 10
    assert f"and 3 more: objseek failures --index {tmp_path / 'index'}" in out


def test_no_images_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("notes")
    code, out, err = ingest(tmp_path / "images", tmp_path / "index")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"Error: no images under {tmp_path / 'images'} (skipped: 1 as not an image by its suffix)"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--segmenter", "sam_vit_x"], "sam_vit_x"),
        (["--workers", "0"], "setting runner.workers: input should be greater than or equal to 1"),
        (["--config", "none.toml"], "the settings file none.toml cannot be read"),
        (["--index", "ftp://host/x"], "ftp://host/x"),
        (["--index", ""], "setting index.location: string should have at least 1 character"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    fakes.write_images(tmp_path / "images", 1)
    code, out, err = ingest(tmp_path / "images", tmp_path / "index", *options)
    assert (code, out) == (2, "")
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (tmp_path / "index" / "points").exists()


@pytest.mark.usefixtures("_fakes")
def test_an_index_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 1)
    (tmp_path / "file").write_text("x")
    code, out, err = ingest(tmp_path / "images", tmp_path / "file" / "index")
    assert code in (1, 2)
    assert out == ""
    assert err.splitlines()[-1].startswith("Error: ")
    assert str(tmp_path / "file") in err


def test_an_empty_source_is_not_the_working_folder(tmp_path: Path) -> None:
    code, _, err = ingest("", tmp_path / "index")
    assert code == 2
    assert err.endswith("Error: expected s3://bucket/prefix, a folder, a file or a glob, got ''\n")


def test_the_figures_of_an_evaluation_need_a_folder_before_the_work(tmp_path: Path) -> None:
    code, out, err = objseek("eval", "demo", "--figures", tmp_path / "none" / "figures.json")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "the figures cannot be written to" in err


def test_a_closed_folder_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", closed)
    code, out, err = objseek("failures", "--index", tmp_path)
    assert (code, out) == (1, "")
    assert err.endswith("cannot be used: Permission denied\n")


def test_the_version_is_shown() -> None:
    code, out, _ = objseek("--version")
    assert code == 0
    assert out == f"objseek {version('objseek')}\n"


@pytest.mark.parametrize(
    "command",
    ["demo", "ingest", "search", "sync", "status", "failures", "retry", "verify", "models", "eval"],
)
def test_help_has_examples(command: str) -> None:
    code, out, _ = objseek(command, "--help")
    assert code == 0
    assert f"objseek {command} " in out.partition("Examples:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_line_of_its_help(name: str) -> None:
    assert (load_command(name).help or "").splitlines()[0] == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import app\n"
        f"try: app([{name!r}, '--help'])\nexcept SystemExit as end: assert not end.code\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.endswith("heavy: []\n")


def test_a_command_that_is_not_there_is_one_sentence_with_near_names() -> None:
    code, _, err = objseek("ingst")
    assert code == 2
    assert "No such command 'ingst'. Did you mean 'ingest'" in " ".join(err.split())


def test_what_may_be_deleted_is_the_same_as_in_python() -> None:
    assert MAX_DELETE == sync.MAX_DELETE


@pytest.mark.usefixtures("_fakes")
def test_retry_takes_states_and_a_place_of_states(tmp_path: Path) -> None:
    fakes.write_images(tmp_path / "images", 1)
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    ingest(tmp_path / "images", tmp_path / "index", "--state", tmp_path / "state")
    options = ("--index", tmp_path / "index", "--runner", "local")
    code, out, _ = objseek(
        "retry", *options, "--state", tmp_path / "state",
        "--only", "rejected", "--only", "failed",
    )  # fmt: skip
    assert (code, summary(out)["rejected"]) == (0, "1")


def raising(error: BaseException) -> tuple[int, str]:
    @user_errors
    def command() -> None:
        raise error

    single = typer.Typer()
    single.command()(command)
    result = CliRunner().invoke(single, [])
    return result.exit_code, result.stderr


def test_errors_become_a_sentence_and_an_exit_code() -> None:
    assert raising(UsageError("no such thing")) == (2, "Error: no such thing\n")
    assert raising(ModelError("no weights")) == (1, "Error: no weights\n")
    assert raising(KeyboardInterrupt()) == (130, "Interrupted.\n")


def test_a_value_that_does_not_validate_is_a_sentence() -> None:
    from schemas.search import SearchQuery

    @user_errors
    def command() -> None:
        SearchQuery(text="x", limit=0)

    single = typer.Typer()
    single.command()(command)
    result = CliRunner().invoke(single, [])
    assert result.exit_code == 2
    assert result.stderr == "Error: limit: Input should be greater than or equal to 1\n"


def test_a_bug_keeps_its_traceback() -> None:
    @user_errors
    def command() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        command()
