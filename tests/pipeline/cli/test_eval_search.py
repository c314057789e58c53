"""`objseek eval search`, as a user types it."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from support.paths import ROOT
from support.word_world import (
    CATEGORIES,
    TRUTH,
    give_labels,
    index_of,
    open_with_words,
    paint_truth,
)
from typer.testing import CliRunner

from pipeline.cli.commands import eval as eval_commands
from pipeline.evaluation.search.figures import list_depths
from pipeline.evaluation.search.query_file import read_queries
from pipeline.evaluation.search.query_result import QueryKind
from pipeline.search.searcher import Searcher
from schemas.labels import LabelEntry

app = typer.Typer()
eval_commands.register(app)
UNKNOWN_ID = "11111111-2222-5333-8444-555555555555"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["search", *(str(arg) for arg in args)])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of two images, and their truth, in which a label is of nothing."""
    folder = tmp_path_factory.mktemp("world")
    thing = (LabelEntry("thing"), 0.9, 99.0)
    index_of(folder, [give_labels(image, [thing, thing]) for image in paint_truth()]).close()
    pet = CATEGORIES[0].model_copy(update={"id": 9, "name": "pet"})
    truth = TRUTH.model_copy(update={"categories": [*CATEGORIES, pet]})
    (folder / "truth.json").write_text(truth.model_dump_json())
    return folder


@pytest.fixture(autouse=True)
def know_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes are opened with the embedder that knows words."""
    monkeypatch.setattr(Searcher, "open", open_with_words)


def write(folder: Path, *queries: dict[str, Any]) -> Path:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(query) + "\n" for query in queries))
    return path


def test_what_is_suggested_is_measured(world: Path, tmp_path: Path) -> None:
    place = ("--truth", world / "truth.json", "--index", world / "index")
    queries, figures = tmp_path / "q.jsonl", tmp_path / "figures.json"
    result = run("--suggest", queries, *place, "--count", 12)
    assert result.exit_code == 0, result.output
    assert "8 queries written to" in result.output
    assert "there: 3, for what is not: 3, boxes round objects: 2" in result.output
    assert "note: look through them" in result.output
    assert f"objseek eval search --queries {queries} --truth {world}/truth.json" in result.output
    before = queries.read_text()
    refused = run("--suggest", queries, *place, "--seed", 9)
    assert refused.exit_code == 2
    assert "is there: --force writes over it" in refused.stderr
    assert queries.read_text() == before
    again = run("--suggest", queries, *place, "--count", 12, "--force")
    assert again.exit_code == 0
    assert queries.read_text() == before
    result = run("--queries", queries, *place, "--json", figures)
    assert result.exit_code == 0, result.output
    told = json.loads(figures.read_text())
    assert (told["queries"], told["present"], told["absent"]) == (8, 5, 3)
    values = {name: figure["value"] for name, figure in told["search"].items()}
    assert (values["success_1"], values["mrr_text"], values["recall_10_image"]) == (1, 1, 1)
    assert told["recall"][-1] == 1
    assert told["first_right"] == [{"rank": 1, "queries": 5}]
    assert len(told["results"]) == 8
    assert told["results"][0]["hits"][0]["right"] is True
    lines = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    cells = lines["first hit right"].split()[3:]
    assert cells == ["1.000", "(1.000", "to", "1.000)", "1.000", "1.000"]
    assert "5 queries for what is there, 3 for what is not" in result.stdout


def test_the_worst_are_listed_with_what_came_instead(world: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": "car", "right": {"labels": ["dog"]}},
        {"text": "dog", "right": {"objects": [UNKNOWN_ID]}},
        {"text": "apple", "name": "no apples", "right": {}},
    )
    result = run("--queries", path, "--truth", world / "truth.json", "--index", world / "index")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    heading = ["worst", "queries", "found", "first", "right", "hit", "before", "it"]
    worst = lines[lines.index(heading) :]
    assert worst[1][:6] == ["dog", "0", "of", "1", "none", "dog,"]
    assert worst[2][:4] == ["car", "1", "of", "1"]
    assert worst[2][5].startswith("car")
    assert ["not", "there,", "and", "called", "likely", "how", "likely", "found"] in lines
    assert any(line[:2] == ["no", "apples"] for line in lines)
    assert f"not in the index, and count as never found: 1: {UNKNOWN_ID}" in (result.stdout)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((), "expected `eval search --queries FILE` to measure, or"),
        (("--queries", "{q}", "--suggest", "{q}"), "to write a first file, got both"),
        (("--queries", "{q}"), "line 1: expected --truth FILE for the labels apple"),
        (("--suggest", "{new}"), "expected --truth FILE, objects of the images in COCO's"),
        (("--suggest", "{w}/none/q.jsonl"), "the queries cannot be written to {w}/none/q.jsonl"),
        (("--queries", "{w}/none.jsonl"), "expected a file of queries at {w}/none.jsonl"),
    ],
)
def test_mistakes_are_one_sentence(
    args: tuple[str, ...], sentence: str, world: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, {"text": "apple", "right": {"labels": ["apple"]}})
    names = {"q": path, "new": tmp_path / "new.jsonl", "w": world}
    result = run(*(arg.format(**names) for arg in args), "--index", world / "index")
    assert result.exit_code == 2, result.output
    assert sentence.format(**names) in " ".join(result.stderr.split())
    assert not (tmp_path / "new.jsonl").exists()


def test_a_truth_without_labels_suggests_nothing(world: Path, tmp_path: Path) -> None:
    nothing = TRUTH.model_copy(update={"categories": [], "annotations": []})
    (tmp_path / "truth.json").write_text(nothing.model_dump_json())
    place = ("--truth", tmp_path / "truth.json", "--index", world / "index")
    result = run("--suggest", tmp_path / "q.jsonl", *place)
    assert result.exit_code == 2
    assert "expected labels of the ground truth to suggest queries from" in result.stderr
    assert not (tmp_path / "q.jsonl").exists()


def test_queries_go_with_search_alone(world: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--queries", str(world / "q.jsonl")])
    assert result.exit_code == 2
    assert "--queries goes with `eval search` and `eval compare`" in result.stderr


def test_its_limit_is_measured(world: Path, tmp_path: Path) -> None:
    path = write(tmp_path, {"text": "apple", "right": {"labels": ["apple"]}})
    place = ("--truth", world / "truth.json", "--index", world / "index")
    figures = tmp_path / "figures.json"
    result = run("--queries", path, *place, "--limit", 1, "--json", figures)
    assert result.exit_code == 0, result.output
    told = json.loads(figures.read_text())
    assert told["search"]["recall_1"]["value"] == 0.5
    assert list_depths(told["limit"]) == [1]
    assert "recall_5" not in told["search"]
    assert len(told["results"][0]["hits"]) == 1


def test_what_the_docs_say_is_so(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text()
    (block,) = re.findall(r"^```jsonl\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "docs.jsonl").write_text(block)
    queries = [line.query for line in read_queries(tmp_path / "docs.jsonl")]
    assert {query.kind for query in queries} == set(QueryKind)
    assert any(query.filter for query in queries)
    assert any(not query.right.labels and not query.right.objects for query in queries)
    suggest, measure = re.findall(r"^objseek eval search (.*)$", page, re.MULTILINE)
    (tmp_path / "coco.json").write_bytes((world / "truth.json").read_bytes())
    (tmp_path / "index").symlink_to(world / "index")
    monkeypatch.chdir(tmp_path)
    for command in (suggest, measure):
        result = run(*shlex.split(command))
        assert result.exit_code == 0, result.output
    report = (tmp_path / "search.html").read_text()
    assert "How well search finds" in report
    assert "How likely, and how right" in report
    signature = inspect.signature(eval_commands.eval_command).parameters
    assert f"at most {signature['count'].default} queries (`--count`)" in page
    assert f"with `--limit` hits, {signature['limit'].default}." in page
    assert f"an IoU of {signature['iou'].default} or more (`--iou`)" in page


def test_help_has_examples() -> None:
    result = CliRunner().invoke(app, ["--help"])
    said = " ".join(result.output.split())
    assert "objseek eval search --suggest queries.jsonl --truth annotations.json" in said
    assert "objseek eval search --queries queries.jsonl --truth annotations.json" in said
