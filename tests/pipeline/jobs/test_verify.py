"""Verification: every planted fault is found and repaired, and a sound index has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import fakes
from support.damage import (
    DAMAGES,
    Damage,
    bring_another_image,
    bring_back_an_old_generation,
    change_a_box,
    do,
    lose_one,
    rows_of,
    tear_the_log,
)

from pipeline.index_home import IndexHome, manifest_folder
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.manifest.audit import Fault, Finding, Report
from pipeline.manifest.manifest import Manifest
from pipeline.settings import Settings
from schemas.errors import IndexBusyError, IndexMissingError, UsageError
from schemas.manifest import State
from schemas.points import Point
from workers.indexes.open import open_index

IMAGES = 6


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> Settings:
    """Of an index with all of the images."""
    made = fakes.settings(tmp_path / "index")
    run(images, made)
    return made


def run(images: Path, settings: Settings) -> int:
    return ingest([str(images)], settings, recipe=fakes.recipe(settings)).counts.done


def faults(report: Report) -> list[tuple[Fault, int]]:
    return [(finding.fault, finding.points) for finding in report.findings]


def test_nothing_is_found_in_a_sound_index(images: Path, settings: Settings) -> None:
    report = verify(settings, [str(images)])
    assert report.findings == []
    assert (report.points, report.images[State.DONE]) == (3 * IMAGES, IMAGES)
    assert (list(report.stray), list(report.queued)) == ([], [])


@pytest.mark.parametrize(
    ("damage", "fault", "points"),
    [pytest.param(*case, id=case[0].__name__) for case in DAMAGES],
)
def test_a_fault_is_found_and_repaired(
    images: Path, settings: Settings, damage: Damage, fault: Fault, points: int
) -> None:
    sound = verify(settings)
    do(damage, settings, "002.png")
    assert faults(verify(settings)) == [(fault, points)]
    report = verify(settings, repairing=True, max_delete=1)
    assert faults(report) == [(fault, points)]
    damaged = len(report.queued)
    # Only the image that is damaged is done again, and only if it is.
    assert run(images, settings) == damaged <= 1
    after = verify(settings, [str(images)])
    assert after.findings == []
    assert (after.points, after.images) == (sound.points, sound.images)


def test_more_than_is_believed_repairs_nothing(settings: Settings) -> None:
    do(bring_back_an_old_generation, settings, "002.png")
    do(lose_one, settings, "001.png")
    with pytest.raises(UsageError, match=r"3 of 20 points .* --max-delete 0\.1 .* nothing was rep"):
        verify(settings, repairing=True)
    assert faults(verify(settings)) == [(Fault.MISSING, 1), (Fault.STALE, 3)]
    verify(settings, repairing=True, max_delete=0.15)
    assert verify(settings).images[State.FAILED] == 1


def test_what_others_may_be_writing_is_not_judged(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for damage in (lose_one, bring_back_an_old_generation, bring_another_image):
        do(damage, settings, "002.png")
    assert len(verify(settings).findings) == 3
    # As if it were a server's: all of it is younger than ten minutes.
    monkeypatch.setattr(IndexHome, "is_shared", True)
    report = verify(settings, [str(images)], repairing=True)
    assert (report.findings, report.stray, report.queued) == ([], [], [])
    monkeypatch.setattr("pipeline.jobs.verify._ON_ITS_WAY", timedelta(0))
    assert len(verify(settings).findings) == 3


def test_a_torn_log_is_found_and_repaired(images: Path, settings: Settings, tmp_path: Path) -> None:
    # It loads as if nothing were wrong.
    tear_the_log(settings, tmp_path / "aside")
    assert faults(verify(settings, repairing=True, max_delete=1)) == [(Fault.MISSING, 3)] * IMAGES
    assert run(images, settings) == IMAGES
    assert verify(settings, [str(images)]).findings == []


def test_findings_name_the_image(images: Path, settings: Settings) -> None:
    do(lose_one, settings, "002.png")
    assert verify(settings).findings == [
        Finding(Fault.MISSING, (images / "002.png").as_uri(), points=1)
    ]


def test_what_the_source_has_now_is_told(images: Path, settings: Settings) -> None:
    (images / "001.png").unlink()
    fakes.write_image(images / "003.png", 77)
    fakes.write_image(images / "new.png", 78)
    report = verify(settings, [str(images)])
    reported = {(finding.fault, Path(finding.uri).name) for finding in report.findings}
    assert reported == {
        (Fault.GONE, "001.png"),
        (Fault.CHANGED, "003.png"),
        (Fault.NEW, "new.png"),
    }
    assert verify(settings).findings == []
    # Neither is damage of the index: an ingest and a sync are what is wanted.
    verify(settings, [str(images)], repairing=True)
    assert verify(settings, [str(images)]).findings == report.findings


def test_images_of_another_source_are_not_missed(images: Path, settings: Settings) -> None:
    fakes.write_images(images.parent / "others", 2)
    assert verify(settings, [str(images)]).findings == []
    report = verify(settings, [str(images.parent / "others")])
    assert {finding.fault for finding in report.findings} == {Fault.NEW}


def test_images_that_wait_for_another_attempt_are_no_faults(
    images: Path, settings: Settings
) -> None:
    fakes.write_image(images / "002.png", 80, fakes.POISON)
    summary = ingest([str(images)], settings, recipe=fakes.recipe(settings, "error"))
    assert summary.counts.failed == 1
    report = verify(settings, [str(images)])
    assert report.findings == []
    assert report.images[State.FAILED] == 1


def test_points_of_a_rejected_image_are_extra(images: Path, settings: Settings) -> None:
    before: list[Point] = []
    do(lambda index, name: before.extend(rows_of(index, name)), settings, "002.png")
    (images / "002.png").write_bytes(b"no image")
    run(images, settings)
    do(lambda index, _: index.upsert(before), settings, "002.png")
    assert faults(verify(settings, repairing=True, max_delete=1)) == [(Fault.EXTRA, 3)]
    assert verify(settings, [str(images)]).findings == []


def test_a_manifest_without_checksums_is_held_to_its_counts(
    images: Path, settings: Settings
) -> None:
    manifest = Manifest(manifest_folder(settings.index.location))
    old = [replace(row, checksum="", at=datetime.now(UTC)) for row in manifest.latest()]
    manifest.append(old)
    manifest.flush()
    do(change_a_box, settings, "002.png")
    assert verify(settings).findings == []
    do(lose_one, settings, "002.png")
    assert faults(verify(settings)) == [(Fault.MISSING, 1)]


def test_an_index_in_use_or_missing_is_told(settings: Settings, tmp_path: Path) -> None:
    with (
        open_index(settings.index, None),  # type: ignore[attr-defined]
        pytest.raises(IndexBusyError),
    ):
        verify(settings)
    with pytest.raises(IndexMissingError, match="nothing was ingested there"):
        verify(fakes.settings(tmp_path / "none"))
