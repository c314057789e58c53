"""What `objseek status` shows of prefixes, days and pipelines, and what it says of mistakes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli.commands import status
from pipeline.cli.status_tables import print_coverage
from pipeline.index_home import manifest_folder
from pipeline.manifest.coverage import measure_coverage
from pipeline.manifest.manifest import Manifest
from schemas.ids import ImageRevision
from schemas.images import ImageRef, Stage
from schemas.manifest import ManifestRow, State

START = datetime(2026, 1, 31, tzinfo=UTC)
runner = CliRunner()
app = typer.Typer()
status.register(app)


def _row(key: str, state: State = State.DONE, day: int = 0, pipeline: str = "f1") -> ManifestRow:
    image = ImageRef("s3", "photos", key, "v1", 10)
    at = START + timedelta(days=day)
    row = ManifestRow.done(image, ImageRevision("v1", pipeline), 3, at)
    if state is State.DONE:
        return row
    return row.with_failure(state, Stage.READ, "SomeError", "why", at, retryable=True)


def _manifest(folder: Path, rows: Sequence[ManifestRow]) -> Manifest:
    made = Manifest(folder)
    made.append(rows)
    made.flush()
    return made


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """One that nothing came into yet, with a manifest."""
    rows = [
        *(_row(f"2026/a/{number}.jpg") for number in range(18)),
        _row("2026/a/bad.jpg", State.REJECTED),
        _row("2026/a/away.jpg", State.FAILED),
        _row("2026/b/1.jpg", day=1, pipeline="f2"),
    ]
    _manifest(manifest_folder(str(tmp_path / "index")), rows)
    return tmp_path / "index"


def _status_lines(*arguments: str | Path) -> list[str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_tables_stand_below_with_a_bar_and_numbers_in_each_row(index: Path) -> None:
    assert _status_lines("--index", index)[5:] == [
        "",
        "images by prefix, below s3://photos/2026/",
        "    █ done  ▓ rejected  ▒ failed",
        "a/      18           1         1  ████████████████████████████████████▓▓▒▒",
        "b/       1           0         0  " + "█" * 40,
        "",
        "images by day (UTC)",
        "            █ done  ▓ rejected  ▒ failed",
        "2026-01-31      18           1         1  ████████████████████████████████████▓▓▒▒",
        "2026-02-01       1           0         0  ██",
        "",
        "pipelines side by side",
        "fingerprint  segmenter  embedder  images  objects  first day   last day",
        "f1           ?          ?             18       54  2026-01-31  2026-01-31",
        "f2           ?          ?              1        3  2026-02-01  2026-02-01",
    ]


def test_by_chooses_the_tables(index: Path) -> None:
    titles = re.compile("^images by (prefix|day)", re.MULTILINE)
    for by, expected in (("prefix", ["prefix"]), ("day", ["day"]), ("both", ["prefix", "day"])):
        printed = "\n".join(_status_lines("--index", index, "--by", by))
        assert titles.findall(printed) == expected


def test_a_single_prefix_is_shown_only_where_it_is_chosen(tmp_path: Path) -> None:
    coverage = measure_coverage(_manifest(tmp_path, [_row("a.jpg")]))
    printed = []
    for by in (None, "prefix"):
        console = Console(file=io.StringIO())
        print_coverage(console, coverage, by)  # type: ignore[arg-type]
        printed.append("by prefix, below s3://photos/\n" in console.file.getvalue())  # type: ignore[attr-defined]
    assert printed == [False, True]


def test_sources_are_listed_for_what_is_waiting(index: Path, tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    (photos / "Фото").mkdir(parents=True)
    for name in ("1.jpg", "Фото/2.jpg", "Фото/3.JPG", "notes.txt", "not.png"):
        (photos / name).write_bytes(b"data")
    arguments = (photos, "--index", index, "--exclude", "*.png")
    printed = json.loads("\n".join(_status_lines(*arguments, "--json", "--depth", "100")))
    assert printed["waiting"] == 3
    assert printed["images"] == {"done": 19, "rejected": 1, "failed": 1, "gone": 0}
    assert [(row["prefix"], row["waiting"]) for row in printed["prefixes"]] == [
        (f"{photos.as_uri()}/", 1),
        (f"{photos.as_uri()}/%D0%A4%D0%BE%D1%82%D0%BE/", 2),
        ("s3://photos/2026/a/", 0),
        ("s3://photos/2026/b/", 0),
    ]
    lines = _status_lines(*arguments, "--by", "prefix", "--depth", "100")
    assert "images:      19 done, 1 rejected, 1 failed, 3 waiting" in lines
    (line,) = (line for line in lines if line.startswith(f"{photos}/Фото/"))
    numbers, bar = line.removeprefix(f"{photos}/Фото/").rsplit(maxsplit=1)
    assert (numbers.split(), bar) == (["0", "0", "0", "2"], "·" * 40)


def test_a_terminal_gets_colours_and_no_wider_lines(tmp_path: Path) -> None:
    long = "a folder of a name that is longer than any terminal has room for, and then some more"
    rows = [_row(f"{long}/1.jpg"), _row("b/2.jpg", State.FAILED), _row("b/3.jpg", State.GONE)]
    coverage = measure_coverage(_manifest(tmp_path, rows))
    for width in (80, 120):
        console = Console(
            file=io.StringIO(), width=width, force_terminal=True, color_system="standard"
        )
        print_coverage(console, coverage, None)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "\x1b[32m█" in text
        assert "\x1b[31m▒" in text
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
        assert max(map(len, plain[2:])) <= width
        folded = "".join(line[: line.find("  ")] for line in plain[3:6])
        assert folded.replace(" ", "").startswith(long.replace(" ", "")[:40])


def test_where_only_ascii_can_be_written_bars_are_ascii(tmp_path: Path) -> None:
    coverage = measure_coverage(
        _manifest(tmp_path, [_row("a/1.jpg"), _row("b/2.jpg", State.FAILED)])
    )
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"))
    print_coverage(console, coverage, "prefix")
    console.file.flush()
    assert [line.split() for line in raw.getvalue().decode().splitlines()[2:]] == [
        ["#", "done", "!", "failed"],
        ["a/", "1", "0", "#" * 40],
        ["b/", "0", "1", "!" * 40],
    ]


def test_many_groups_are_shown_as_few_and_json_has_them_all(tmp_path: Path) -> None:
    rows = [_row(f"{number:02}/1.jpg", day=number) for number in range(30)]
    rows += [_row(f"{number:02}/2.jpg", day=number) for number in range(25, 30)]
    _manifest(tmp_path / "state", rows)
    arguments = ("--index", tmp_path / "none", "--state", tmp_path / "state")
    printed = json.loads("\n".join(_status_lines(*arguments, "--json")))
    assert (len(printed["prefixes"]), len(printed["days"])) == (30, 30)
    lines = _status_lines(*arguments)
    days, prefixes = (lines.index(line) for line in lines if line.startswith("images by"))
    assert [line.split()[:2] for line in lines[days:]][2:5] == [
        ["00/", "1"],
        ["01/", "1"],
        ["02/", "1"],
    ]
    assert ["others", "11"] in [line.split()[:2] for line in lines[days:prefixes]]
    assert [line.split()[:2] for line in lines[prefixes:]][2:4] == [
        ["earlier", "10"],
        ["2026-02-10", "1"],
    ]
    assert lines[-1].split() == ["2026-03-01", "2", "█" * 40]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--by", "week"], 2, "'week' is not one of"),
        (["--depth", "0"], 2, "--depth"),
        (["/nowhere/at all"], 2, "got nothing at '/nowhere/at all'"),
        (["gs://photos"], 2, "got 'gs://photos'"),
        (["--index", "none"], 1, "none"),
        (["--state", "gs://photos"], 2, "got 'gs://photos'"),
    ],
)
def test_mistakes_are_one_sentence(
    index: Path, arguments: list[str], code: int, sentence: str
) -> None:
    result = runner.invoke(app, ["--index", str(index), *arguments])
    assert result.exit_code == code
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert result.stdout == ""
