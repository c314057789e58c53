"""`objseek status` and `objseek failures`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from support.colour_world import add_failures, build_index, paint
from typer.testing import CliRunner

from pipeline.cli.commands import failures, search, status
from pipeline.settings import Settings
from schemas.options import IndexOptions
from workers.indexes.open import open_index

runner = CliRunner()
app = typer.Typer()
for command in (search, status, failures):
    command.register(app)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("world")
    settings = build_index(folder)
    add_failures(settings, folder)
    return settings


def _run(name: str, settings: Settings, *args: str) -> str:
    result = runner.invoke(app, [name, "--index", settings.index.location, *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def _group(by: str, name: str, **counts: int) -> dict[str, object]:
    return {by: name, "done": 0, "rejected": 0, "failed": 0, "gone": 0, **counts}


def test_status_counts_images_by_state_and_objects(settings: Settings) -> None:
    report = json.loads(_run("status", settings, "--json"))
    size_bytes = report.pop("size_bytes")
    assert size_bytes > 0
    assert report == {
        "index": settings.index.location,
        "note": "",
        "images": {"done": 3, "rejected": 1, "failed": 0, "gone": 1},
        "videos": 0,
        "objects": 4,
        "added": 0,
        "generations": 1,
        "segmenters": ["squares"],
        "embedders": {"clip_demo": 7},
        "dim": 4,
        "points": 7,
        "waiting": None,
        "precision": None,
        "versions_by_time": 0,
        "kept": [
            {
                "name": "first",
                "current": True,
                "images": 3,
                "location": settings.index.location,
            }
        ],
        "prefixes": [
            _group("prefix", "file:///", done=3) | {"waiting": None},
            _group("prefix", "s3://photos/", rejected=1, gone=1) | {"waiting": None},
        ],
        "days": [_group("day", "2026-01-31", done=3, rejected=1, gone=1)],
        "pipelines": report["pipelines"],
    }
    (pipeline,) = report["pipelines"]
    assert len(pipeline.pop("fingerprint")) > 0
    assert pipeline == {
        "images": 3,
        "objects": 4,
        "first_day": "2026-01-31",
        "last_day": "2026-01-31",
        # Of what was ingested before that was recorded.
        "segmenter": None,
        "embedder": None,
    }
    lines = _run("status", settings).splitlines()
    assert lines[0].split(maxsplit=1) == ["index:", settings.index.location]
    assert "images:      3 done, 1 rejected, 1 gone" in lines
    assert "objects:     4" in lines
    assert "embedder:    clip_demo (7 points)" in lines


def test_status_of_an_index_in_use_tells_what_the_manifest_knows(settings: Settings) -> None:
    index = open_index(settings.index, None)
    try:
        report = json.loads(_run("status", settings, "--json"))
        lines = _run("status", settings).splitlines()
    finally:
        index.close()
    assert report["images"] == {"done": 3, "rejected": 1, "failed": 0, "gone": 1}
    assert report["objects"] == 4
    assert report["points"] is None
    assert [row["prefix"] for row in report["prefixes"]] == ["file:///", "s3://photos/"]
    assert "2026-01-31       3           1       1  " in "\n".join(lines)
    assert report["note"].startswith("in use by another process")
    assert lines[1].startswith("note:        in use by another process")


def test_status_without_an_index_is_one_sentence(tmp_path: Path) -> None:
    for name in ("status", "failures"):
        result = runner.invoke(app, [name, "--index", str(tmp_path / "none")])
        assert result.exit_code == 1
        assert str(tmp_path / "none") in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "none").exists()


def test_where_nothing_came_through_status_tells_of_the_failures(tmp_path: Path) -> None:
    paint(tmp_path)
    only_failed = Settings(index=IndexOptions(location=str(tmp_path / "failed")))
    add_failures(only_failed, tmp_path)
    report = json.loads(_run("status", only_failed, "--json"))
    assert report["images"] == {"done": 0, "rejected": 1, "failed": 0, "gone": 1}
    assert report["note"].startswith("nothing has been indexed yet")


def test_failures_are_listed_with_their_reasons(settings: Settings) -> None:
    header, gone, rejected = _run("failures", settings).splitlines()
    assert header.split() == ["state", "stage", "attempts", "image", "reason"]
    assert gone.split(maxsplit=4) == [
        "gone",
        "read",
        "1",
        "s3://photos/gone.jpg",
        "expected a listed object, got 404",
    ]
    assert rejected.startswith("rejected  read   1         s3://photos/broken.jpg")


def test_failures_as_json_lines_of_one_state(settings: Settings) -> None:
    (line,) = _run("failures", settings, "--json", "--state", "rejected").splitlines()
    assert json.loads(line) == {
        "state": "rejected",
        "stage": "read",
        "uri": "s3://photos/broken.jpg",
        "error_class": "BadImageError",
        "reason": "expected a whole image, got half",
        "retryable": False,
        "attempts": 1,
        "version": "v",
        "at": "2026-01-31T13:00:00+00:00",
    }
    assert _run("failures", settings, "--state", "failed") == ""
    both = _run("failures", settings, "--json", "--state", "rejected", "--state", "gone")
    assert len(both.splitlines()) == 2
