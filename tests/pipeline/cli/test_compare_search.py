"""`objseek eval compare --queries`, as a user types it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from support.paths import ROOT
from support.word_world import TRUTH, embedded, index_of, open_with_words, paint_truth
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_commands
from pipeline.search.searcher import Searcher

app = typer.Typer()
eval_commands.register(app)
QUERIES: list[dict[str, Any]] = [
    {"text": "car", "name": "<b>a car", "right": {"labels": ["car"]}},
    {"text": "dog", "right": {"labels": ["dog"]}},
    {"text": "apple", "right": {"labels": ["apple"]}},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two indexes, a/index and b/index, which confounds car and apple; truth, queries."""
    folder = tmp_path_factory.mktemp("world")
    for name in "ab":
        (folder / name).mkdir()
    index_of(folder / "a", paint_truth()).close()
    mistaken = embedded(1, [(1, (0, 0, 20, 20)), (0, (30, 30, 60, 60))])
    index_of(folder / "b", [mistaken, paint_truth()[1]]).close()
    (folder / "truth.json").write_text(TRUTH.model_dump_json())
    (folder / "q.jsonl").write_text("".join(json.dumps(query) + "\n" for query in QUERIES))
    return folder


@pytest.fixture(autouse=True)
def know_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes are opened with the embedder that knows words."""
    monkeypatch.setattr(Searcher, "open", open_with_words)


def run(world: Path, first: str, second: str, *args: object) -> Result:
    places = (f"{world}/{first}/index", f"{world}/{second}/index")
    files = ("--queries", f"{world}/q.jsonl", "--truth", f"{world}/truth.json", "--limit", "2")
    return CliRunner().invoke(app, ["compare", *places, *files, *map(str, args)])


def test_both_are_asked_the_same_and_held_against_each_other(world: Path, tmp_path: Path) -> None:
    result = run(
        world, "a", "b", "--json", tmp_path / "f.json", "--report", tmp_path / "report.html"
    )
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    first_hit = figures["search"]["success_1"]
    assert first_hit["first"]["value"] == 1
    assert first_hit["second"]["value"] < 1
    assert first_hit["difference"]["value"] == first_hit["second"]["value"] - 1
    assert figures["queries"] == 3
    (car,) = (change for change in figures["changes"] if change["name"] == "<b>a car")
    assert (car["line"], car["first_right"][0]) == (1, 1)
    assert car["first_right"][1] != 1
    assert car["ndcg"][0] == 1
    assert car["ndcg"][1] < 1
    output = " ".join(result.output.split())
    assert "first hit right" in output
    assert "largest losses" in output
    assert "3 queries, 0 better in B and" in output
    page = (tmp_path / "report.html").read_text()
    assert "Search in two indexes compared" in page
    assert "&lt;b&gt;a car" in page
    assert "<b>" not in page
    titles = re.findall(r"<figcaption>([^<]+)</figcaption>", page)
    assert titles[:2] == ["Recall by hits", "First right hit"]
    assert re.search(r"<caption>Worse in B: \d quer", page)


def test_less_error_is_better(world: Path, tmp_path: Path) -> None:
    """What is right of weak answers and of calibration errors is the other way round."""
    result = run(world, "b", "a", "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    for name, each in json.loads((tmp_path / "f.json").read_text())["search"].items():
        low, high = each["difference"]["low"], each["difference"]["high"]
        if low is None or low <= 0 <= high:
            continue
        lower = name.startswith(("present_weak", "calibration", "first_calibration"))
        assert each["outcome"] == ("better" if (low > 0) != lower else "worse"), name


def test_an_index_differs_in_nothing_from_itself(world: Path) -> None:
    result = run(world, "a", "a")
    assert result.exit_code == 0, result.output
    assert "B is better in 0, worse in 0, and within noise in" in " ".join(result.output.split())
    assert "3 queries, 0 better in B and 0 worse" in result.output


def test_the_command_of_the_docs_runs(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (command,) = re.findall(r"^objseek eval (compare .* --queries .*)$", page, re.MULTILINE)
    for source, name in (
        ("a/index", "index-a"), ("b/index", "index-b"), ("truth.json", "coco.json"),
        ("q.jsonl", "queries.jsonl"),
    ):  # fmt: skip
        (tmp_path / name).symlink_to(world / source)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output


def test_images_are_for_masks(world: Path, tmp_path: Path) -> None:
    result = run(world, "a", "b", "--images", world, "--report", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "--images goes with `eval compare A B --truth FILE --report FILE`" in result.output
