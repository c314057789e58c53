"""A folder that was touched or copied is the same folder; a file that was changed is another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support import fakes

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import ignore_skipped, list_images
from pipeline.jobs.ingest import IngestSummary, ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.manifest import touched_files
from pipeline.manifest.coverage import measure_coverage
from pipeline.runners.stored_masks_segmenter import StoredMasksSegmenter
from pipeline.settings import Settings
from schemas.images import Decoded, ImageRef
from schemas.options import StoreOptions
from workers.stores.file_version import older_version

IMAGES = 12


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", IMAGES)
    return tmp_path / "images"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index")


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to look whether they have changed."""
    names: list[str] = []
    read = touched_files.read_version

    def noting(ref: ImageRef) -> ImageRef | None:
        names.append(Path(ref.key).name)
        return read(ref)

    monkeypatch.setattr(touched_files, "read_version", noting)
    return names


def run(images: Path, settings: Settings) -> IngestSummary:
    return ingest([str(images)], settings, recipe=fakes.recipe(settings))


def counts(summary: IngestSummary) -> tuple[int, int]:
    return summary.counts.done, summary.counts.unchanged


def touch(images: Path) -> None:
    for path in images.iterdir():
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def waiting(images: Path, settings: Settings) -> int | None:
    manifest = IndexHome.current(settings).manifest
    listed = list_images([str(images)], StoreOptions(), ignore_skipped)
    return measure_coverage(manifest, listed).waiting


def test_an_untouched_folder_is_not_read_again(
    images: Path, settings: Settings, read_again: list[str]
) -> None:
    assert counts(run(images, settings)) == (IMAGES, 0)
    assert counts(run(images, settings)) == (0, IMAGES)
    assert read_again == []


def test_a_touched_folder_is_read_once_and_embedded_never(
    images: Path, settings: Settings, read_again: list[str]
) -> None:
    run(images, settings)
    before = fakes.points(settings)
    touch(images)
    assert waiting(images, settings) == 0
    assert verify(settings, [str(images)]).findings == []
    read_again.clear()
    summary = run(images, settings)
    assert (counts(summary), summary.log) == ((0, IMAGES), None)
    assert sorted(read_again) == sorted(path.name for path in images.iterdir())
    # The new times are known from then on.
    read_again.clear()
    assert counts(run(images, settings)) == (0, IMAGES)
    assert read_again == []
    assert fakes.points(settings) == before
    assert verify(settings, [str(images)]).findings == []


def test_a_copy_in_its_place_is_the_same_folder(images: Path, settings: Settings) -> None:
    run(images, settings)
    before = fakes.points(settings)
    shutil.copytree(images, images.parent / "copy", copy_function=shutil.copy)
    shutil.rmtree(images)
    (images.parent / "copy").rename(images)
    assert counts(run(images, settings)) == (0, IMAGES)
    assert fakes.points(settings) == before


def test_of_a_touched_folder_what_changed_is_done_again(images: Path, settings: Settings) -> None:
    run(images, settings)
    touch(images)
    with (images / "003.png").open("ab") as file:
        file.write(b"trailing")
    fakes.write_image(images / "005.png", 99)
    assert {
        finding.uri.rpartition("/")[2] for finding in verify(settings, [str(images)]).findings
    } == {
        "003.png",
        "005.png",
    }
    assert waiting(images, settings) == 2
    assert counts(run(images, settings)) == (2, IMAGES - 2)
    assert verify(settings, [str(images)]).findings == []


def test_files_of_one_size_and_time_that_were_exchanged(images: Path, settings: Settings) -> None:
    """As those of a data set: they come out of an archive with the same time."""
    first, second = (images / name for name in ("a.bmp", "b.bmp"))
    for number, path in enumerate((first, second)):
        made = fakes.write_image(path, number)
        os.utime(made, ns=(0, 0))
    assert first.stat().st_size == second.stat().st_size
    run(images, settings)
    versions = {name: row.version for name, row in fakes.rows(settings).items()}
    first.rename(images / "c")
    second.rename(first)
    (images / "c").rename(second)
    assert counts(run(images, settings)) == (2, IMAGES)
    rows = fakes.rows(settings)
    assert rows["a.bmp"].version == versions["b.bmp"]
    assert rows["b.bmp"].version == versions["a.bmp"]


def _read_as_older(refs: Sequence[ImageRef], reader: partial[list[Decoded]]) -> list[Decoded]:
    return reader([replace(ref, version=older_version(ref.version)) for ref in refs])


def test_an_index_of_versions_by_size_and_time_needs_no_work(
    images: Path, settings: Settings, read_again: list[str]
) -> None:
    recipe = fakes.recipe(settings)
    older = replace(recipe, reader=partial(_read_as_older, reader=recipe.reader))
    ingest([str(images)], settings, recipe=older)
    row, status = fakes.rows(settings)["000.png"], (images / "000.png").stat()
    assert (row.version, row.stamp) == (f"{status.st_size}-{status.st_mtime_ns}", "")
    before = fakes.points(settings)
    assert waiting(images, settings) == 0
    assert counts(run(images, settings)) == (0, IMAGES)
    assert verify(settings, [str(images)]).findings == []
    assert (fakes.points(settings), read_again) == (before, [])
    # Of these only size and time tell; what is done again has a version by content.
    os.utime(images / "000.png", ns=(0, status.st_mtime_ns + 1))
    assert counts(run(images, settings)) == (1, IMAGES - 1)
    touch(images)
    os.utime(images / "001.png", ns=(0, (images / "001.png").stat().st_mtime_ns))
    assert counts(run(images, settings)) == (IMAGES - 1, 1)
    assert all("blake2b" in row.version for row in fakes.rows(settings).values())


def test_what_another_run_writes_meanwhile_stays_the_last(images: Path, settings: Settings) -> None:
    run(images, settings)
    row = fakes.rows(settings)["000.png"]
    manifest = IndexHome.current(settings).manifest
    manifest.append([replace(row, objects=7, at=row.at.replace(year=row.at.year + 1))])
    manifest.flush()
    late = IndexHome.current(settings).manifest
    late.append([replace(row, stamp="later")])
    late.flush()
    assert fakes.rows(settings)["000.png"].objects == 7


def test_a_moved_folder_is_not_segmented_again(images: Path, settings: Settings) -> None:
    run(images, settings)
    before = fakes.points(settings)
    moved = images.rename(images.parent / "moved")
    # Whoever segmented one of these would fail.
    recipe = replace(
        fakes.recipe(settings),
        segmenter=partial(StoredMasksSegmenter, "bright", fakes.segmenter().fingerprint),
    )
    summary = ingest([str(moved)], settings, recipe=recipe)
    assert (counts(summary), summary.counts.failed) == ((IMAGES, 0), 0)
    points = fakes.points(settings)
    assert len(points) == 2 * len(before)

    def shapes(of: fakes.Points) -> list[tuple[str, object, object, list[float]]]:
        return sorted(
            (str(payload["uri"]).rpartition("/")[2], payload["ordinal"], payload["rle"], vector)
            for payload, vector in of.values()
        )

    there = {identity: point for identity, point in points.items() if identity not in before}
    for (name, ordinal, rle, vector), (was, number, mask, direction) in zip(
        shapes(there), shapes(before), strict=True
    ):
        assert (name, ordinal, rle) == (was, number, mask)
        assert vector == pytest.approx(direction, abs=1e-6)
    assert verify(settings, [str(moved)]).findings == []
    # Something new among them is segmented, as ever.
    fakes.write_image(moved / "new.png", 77)
    assert counts(ingest([str(moved)], settings, recipe=fakes.recipe(settings))) == (1, IMAGES)


def test_a_sync_of_a_renamed_folder_keeps_its_masks(images: Path, settings: Settings) -> None:
    for name in ("a", "b"):
        fakes.write_images(images / name, 3)
    run(images, settings)
    (images / "a").rename(images / "c")
    recipe = replace(
        fakes.recipe(settings),
        segmenter=partial(StoredMasksSegmenter, "bright", fakes.segmenter().fingerprint),
    )
    summary = sync([str(images)], settings, 1, recipe=recipe)
    assert summary.ingest is not None
    assert (summary.removed, counts(summary.ingest)) == (3, (3, IMAGES + 3))
    assert verify(settings, [str(images)]).findings == []
