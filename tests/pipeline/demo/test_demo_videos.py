"""`objseek demo --video`: clips are drawn, ingested and searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.demo import bucket
from pipeline.demo.clips import draw_demo_clip
from schemas.errors import UsageError


def test_clips_stay_as_they_are_and_tell_what_they_show(tmp_path: Path) -> None:
    shown = bucket.write_clip_bucket(tmp_path, 1, seed=5)
    (path,) = (tmp_path / "clips").iterdir()
    before = path.stat()
    assert bucket.write_clip_bucket(tmp_path, 1, seed=5) == shown
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    drawn = draw_demo_clip(5, 1)
    assert sorted(shown) == sorted(concept.label for concept in drawn.concepts.values())


def test_without_what_writes_videos_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "can_read_videos", lambda: False)
    with pytest.raises(UsageError, match="expected no clip, got a video, for which PyAV is needed"):
        bucket.write_clip_bucket(tmp_path, 1, seed=5)


@pytest.mark.long
def test_a_demo_of_videos_then_again(tmp_path: Path) -> None:
    command = ["demo", "--video", "--out", str(tmp_path), "--scenes", "1"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("1 videos with ")
    sheets = sorted((tmp_path / "sheets").iterdir())
    assert len(sheets) >= 4
    with Image.open(sheets[0]) as sheet:
        assert sheet.width > 600
    assert f"--video --out {tmp_path} --scenes 1" in first.stdout.replace("\n", " ")
    again = CliRunner().invoke(app, [*command, "a cat"])
    assert again.exit_code == 0, again.stderr
    assert "1 files were ingested before: nothing to do" in again.stdout
