"""The pace of an earlier run is read from its log, of the same pipeline alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pipeline.ingestion.past_pace import Pace, find_pace

LINES = (
    "2026-01-31 12:00:00,000 INFO pipeline.ingestion.session: ./an index as {}\n"
    "2026-01-31 12:01:00,500 INFO pipeline.ingestion.session: {} of {} images, 6 objects, {}\n"
)


def write(folder: Path, name: str, fingerprint: str, images: str, rate: str) -> None:
    text = LINES.format(fingerprint, images, images, rate)
    (folder / f"ingest-{name}.log").write_text(text)


def test_the_latest_run_of_the_pipeline_counts(tmp_path: Path) -> None:
    write(tmp_path, "20260129T120000Z-1", "abc", "100", "9.00 images/s")
    write(tmp_path, "20260130T120000Z-1", "abc", "1,234", "2.50 images/s, 3 rejected")
    write(tmp_path, "20260131T120000Z-1", "def", "500", "7.00 images/s")
    ended_at = datetime(2026, 1, 31, 12, 1, 0, 500_000)
    assert find_pace(tmp_path, "abc") == Pace(2.5, 1234, ended_at)


def test_runs_that_say_little_are_passed_by(tmp_path: Path) -> None:
    assert find_pace(tmp_path / "none", "abc") is None
    write(tmp_path, "20260131T120000Z-1", "abc", "3", "2.50 images/s")
    write(tmp_path, "20260131T120000Z-2", "abc", "30", "2.50 images and frames/s")
    write(tmp_path, "20260131T120000Z-3", "abc", "30", "0.00 images/s")
    (tmp_path / "ingest-20260131T120000Z-4.log").write_text("interrupted")
    assert find_pace(tmp_path, "abc") is None
