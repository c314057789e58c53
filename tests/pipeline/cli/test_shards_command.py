"""What is printed of jobs that share a source, and what is refused before any begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support import fakes
from typer.testing import CliRunner

from pipeline.cli import run_shards
from pipeline.cli.console import EXIT_FAILED
from pipeline.cli.main import app
from pipeline.jobs.ingest import IngestSummary
from pipeline.jobs.shards import ShardsSummary
from pipeline.progress import Progress, RunDetails
from pipeline.settings import Settings
from schemas.counts import IngestCounts

SERVER = ("--index", "http://127.0.0.1:9/photos")


def objseek(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shard", "9/8"), "setting store.shard: expected a shard such as 3/8, from 1/8 to 8/8"),
        (("--key-range", "z..a"), "setting store.key_range: expected a range of keys from a lower"),
        (("--shard", "1/2", "--index", "photos"), "got the folder 'photos', which has one owner"),
        (("--shards", "2", "--index", "photos", "--runner", "local"), "which has one owner"),
        (("--shards", "2", *SERVER), "expected the address of a Ray cluster for 2 shards"),
        (("--shards", "2", "--shard", "1/2", *SERVER), "expected either a shard or how many"),
        (("--shards", "2", "--limit", "3", *SERVER), "expected no limit for 2 shards, got 3"),
    ],
)
def test_what_cannot_be_shared_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fakes.write_images(tmp_path / "images", 1)
    code, _, err = objseek("ingest", tmp_path / "images", *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("errors", "expected"),
    [({}, 0), ({"2/3": "its process ended with exit code -9"}, EXIT_FAILED)],
)
def test_the_exit_code_says_whether_all_have_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: dict[str, str], expected: int
) -> None:
    taken: list[int] = []

    def share(
        sources: Sequence[str], settings: Settings, count: int, progress: Progress
    ) -> ShardsSummary:
        taken.append(count)
        counts = IngestCounts(listed=5, done=5, objects=9)
        together = IngestSummary(counts, RunDetails(), 1.0, 5.0, "the index", None)
        return ShardsSummary(together, errors)

    monkeypatch.setattr(run_shards, "ingest_shards", share)
    monkeypatch.setattr(run_shards, "check_shards", lambda settings, count: None)
    fakes.write_images(tmp_path / "images", 1)
    code, out, err = objseek(
        "ingest", tmp_path / "images", "--shards", "3", "--runner", "local", *SERVER
    )
    assert (code, taken) == (expected, [3])
    assert "done" in out
    assert err.count("Error in shard 2/3: its process ended with exit code -9") == len(errors)


def test_the_help_tells_of_parts_and_inventories() -> None:
    code, out, _ = objseek("ingest", "--help")
    assert code == 0
    for text in ("--shard", "--shards", "--key-range", "manifest.json", "inventory+s3://"):
        assert text in out
