"""When results are written: the first at once, later ones together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.index_cases import DIM, embedded, unit

from pipeline.ingestion import writer as writers
from pipeline.ingestion.writer import Writer
from pipeline.manifest.manifest import Manifest
from schemas.ids import revision_by
from schemas.images import Failure, ImageRef, Stage
from schemas.options import IndexOptions
from schemas.records import Result
from workers.indexes.open import open_index


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_videos_of_many_objects_are_not_held_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "time", Clock())
    monkeypatch.setattr(writers, "MOST_OBJECTS", 5)
    written: list[int] = []
    with (
        open_index(IndexOptions(location=str(tmp_path / "index")), DIM, create=True) as index,
        Writer(
            index, Manifest(tmp_path / "manifest"), revision_by("f1"),
            on_written=lambda results: written.append(len(results)),
            run_started_at=datetime.now(UTC),
        ) as writer,
    ):  # fmt: skip
        for number in range(9):
            writer.add([embedded(f"{number}.jpg", unit(number, 3))])
    assert written == [1, 3, 3, 2]


def test_the_first_result_is_written_at_once_and_later_ones_ever_more_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(writers, "time", clock)
    written_at: list[float] = []

    def note(results: Sequence[Result]) -> None:
        written_at.append(clock.now_s - 100)

    with (
        open_index(IndexOptions(location=str(tmp_path / "index")), 4, create=True) as index,
        Writer(
            index, Manifest(tmp_path / "manifest"), revision_by("f1"),
            on_written=note, run_started_at=datetime.now(UTC),
        ) as writer,
    ):  # fmt: skip
        for number in range(90):
            clock.now_s += 0.5
            ref = ImageRef("s3", "photos", f"{number}.jpg", "v1", 100)
            writer.add([Failure(ref, Stage.READ, "StoreError", "not read", retryable=True)])
    assert written_at == [0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.0]
