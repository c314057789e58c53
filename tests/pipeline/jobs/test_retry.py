"""Retries: the images that failed, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import fakes
from support.fakes import rows

from pipeline.jobs.ingest import ingest
from pipeline.jobs.retry import retry
from pipeline.settings import Settings
from schemas.errors import IndexMissingError, UsageError
from schemas.manifest import State


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 6)
    fakes.write_image(tmp_path / "images" / "poison.png", 7, fakes.POISON)
    return tmp_path / "images"


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> Settings:
    """Of an index into which one of seven images has not come."""
    made = fakes.settings(tmp_path / "index")
    assert ingest([str(images)], made, recipe=fakes.recipe(made, "error")).counts.failed == 1
    return made


def test_only_what_failed_is_done_again(images: Path, settings: Settings) -> None:
    fakes.write_image(images / "new.png", 9)
    summary = retry(settings, recipe=fakes.recipe(settings))
    assert summary is not None
    assert (summary.counts.listed, summary.counts.done) == (1, 1)
    assert rows(settings)["poison.png"].state is State.DONE
    assert "new.png" not in rows(settings)
    assert retry(settings, recipe=fakes.recipe(settings)) is None


def test_attempts_are_counted_as_long_as_they_fail(images: Path, settings: Settings) -> None:
    row = rows(settings)["poison.png"]
    assert (row.attempts, row.retryable, row.stage) == (1, True, "segment")
    for attempt in (2, 3):
        summary = retry(settings, recipe=fakes.recipe(settings, "error"))
        assert summary is not None
        assert summary.counts.failed == 1
        assert rows(settings)["poison.png"].attempts == attempt
    # An ingest of the source is an attempt as well, and the one that succeeds is the last.
    ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert (rows(settings)["poison.png"].state, rows(settings)["poison.png"].attempts) == (
        State.DONE,
        4,
    )
    assert rows(settings)["000.png"].attempts == 1


def test_another_version_is_taken_as_it_is_and_counted_anew(
    images: Path, settings: Settings
) -> None:
    fakes.write_image(images / "poison.png", 30)
    summary = retry(settings, recipe=fakes.recipe(settings))
    assert summary is not None
    assert summary.counts.done == 1
    assert rows(settings)["poison.png"].attempts == 1


def test_what_is_gone_is_recorded_as_gone(images: Path, settings: Settings) -> None:
    (images / "poison.png").unlink()
    summary = retry(settings, recipe=fakes.recipe(settings))
    assert summary is not None
    assert summary.counts.gone == 1
    assert rows(settings)["poison.png"].state is State.GONE


def test_rejected_images_are_tried_if_asked_for(images: Path, settings: Settings) -> None:
    (images / "bad.png").write_bytes(b"no image")
    ingest([str(images)], settings, recipe=fakes.recipe(settings))
    assert retry(settings, recipe=fakes.recipe(settings)) is None
    summary = retry(settings, [State.REJECTED], recipe=fakes.recipe(settings))
    assert summary is not None
    assert summary.counts.rejected == 1


def test_other_settings_would_mix_generations(settings: Settings, tmp_path: Path) -> None:
    other = fakes.settings(tmp_path / "index", margin=0.5)
    with pytest.raises(UsageError, match="expected the settings and models of an ingest"):
        retry(other, recipe=fakes.recipe(other))


def test_nothing_was_ingested(tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError, match="nothing was ingested there"):
        retry(fakes.settings(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
