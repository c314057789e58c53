"""Syncs: what is gone from its source leaves the index, and nothing else does."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import datetime
from pathlib import Path

import pytest
from support import fakes
from support.fakes import rows

from pipeline.index_home import manifest_folder
from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import SyncSummary, sync
from pipeline.jobs.verify import verify
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import IndexBusyError, UsageError
from schemas.manifest import State
from schemas.options import StoreOptions
from workers.indexes.edge.index import EdgeIndex
from workers.indexes.open import open_index


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 20)
    return tmp_path / "images"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakes.settings(tmp_path / "index")


def run(source: Path, settings: Settings, max_delete: float = 0.1) -> SyncSummary:
    return sync([str(source)], settings, max_delete, recipe=fakes.recipe(settings))


def indexed(settings: Settings) -> set[str]:
    with open_index(settings.index, None) as index:  # type: ignore[attr-defined]
        return {Path(point.payload["key"]).name for point in index.scroll()}


def test_the_index_becomes_what_the_source_is(images: Path, settings: Settings) -> None:
    first = run(images, settings)
    assert first.removed == 0
    assert first.ingest is not None
    assert first.ingest.counts.done == 20
    (images / "003.png").unlink()
    (images / "007.png").unlink()
    fakes.write_image(images / "005.png", 99)
    fakes.write_image(images / "new.png", 100)
    second = run(images, settings)
    assert second.removed == 2
    assert second.ingest is not None
    assert (second.ingest.counts.done, second.ingest.counts.unchanged) == (2, 17)
    assert indexed(settings) == {path.name for path in images.iterdir()}
    assert [name for name, row in rows(settings).items() if row.state is State.GONE] == [
        "003.png",
        "007.png",
    ]
    assert not verify(settings, [str(images)]).findings
    assert run(images, settings).removed == 0


def test_an_image_that_comes_back_is_ingested_again(images: Path, settings: Settings) -> None:
    run(images, settings)
    body = (images / "003.png").read_bytes()
    (images / "003.png").unlink()
    assert run(images, settings).removed == 1
    (images / "003.png").write_bytes(body)
    again = run(images, settings)
    assert again.ingest is not None
    assert again.ingest.counts.done == 1
    assert len(indexed(settings)) == 20


def test_more_than_is_believed_changes_nothing(images: Path, settings: Settings) -> None:
    run(images, settings)
    for number in range(3):
        (images / f"{number:03}.png").unlink()
    fakes.write_image(images / "new.png", 100)
    with pytest.raises(UsageError, match=r"3 of the 20 images .* --max-delete 0\.1"):
        run(images, settings)
    assert len(indexed(settings)) == 20
    assert {row.state for row in rows(settings).values()} == {State.DONE}
    assert run(images, settings, max_delete=0.15).removed == 3
    assert indexed(settings) == {path.name for path in images.iterdir()}


def test_an_empty_source_empties_the_index_only_if_told(images: Path, settings: Settings) -> None:
    run(images, settings)
    shutil.rmtree(images)
    images.mkdir()
    with pytest.raises(UsageError, match="20 of the 20 images"):
        run(images, settings)
    summary = run(images, settings, max_delete=1)
    assert (summary.removed, summary.ingest) == (20, None)
    assert indexed(settings) == set()


def test_a_folder_that_is_not_there_is_no_empty_source(images: Path, settings: Settings) -> None:
    run(images, settings)
    shutil.rmtree(images)
    with pytest.raises(UsageError, match="got nothing at"):
        run(images, settings, max_delete=1)
    assert len(indexed(settings)) == 20


def test_images_of_other_sources_and_patterns_stay(images: Path, settings: Settings) -> None:
    fakes.write_images(images / "more", 3)
    fakes.write_images(images.parent / "images-2", 2)
    run(images, settings)
    run(images.parent / "images-2", settings)
    shutil.rmtree(images / "more")
    (images / "004.png").unlink()
    only = settings.model_copy(update={"store": StoreOptions(include=("*/00?.png",))})
    # Nothing of the pattern lies below any more but 004 and the three of the folder.
    summary = sync([str(images)], only, 0.4, recipe=fakes.recipe(only))
    assert summary.removed == 4
    (images / "012.png").unlink()
    assert sync([str(images)], only, 0, recipe=fakes.recipe(only)).removed == 0
    states = [row.state for row in Manifest(manifest_folder(settings.index.location)).latest()]
    assert (states.count(State.DONE), states.count(State.GONE)) == (21, 4)


def test_images_that_were_rejected_or_failed_are_gone_too(images: Path, settings: Settings) -> None:
    (images / "bad.png").write_bytes(b"no image")
    run(images, settings)
    assert rows(settings)["bad.png"].state is State.REJECTED
    (images / "bad.png").unlink()
    assert run(images, settings).removed == 1
    assert rows(settings)["bad.png"].state is State.GONE


def test_what_a_later_run_has_brought_back_stays(images: Path, settings: Settings) -> None:
    class Overtaken(Progress):
        def note(self, text: str) -> None:
            if text.startswith("removing"):
                fakes.write_image(images / "004.png", 44)
                ingest([str(images)], settings, recipe=fakes.recipe(settings))

    run(images, settings)
    for name in ("004.png", "005.png"):
        (images / name).unlink()
    summary = sync([str(images)], settings, 1, Overtaken(), fakes.recipe(settings))
    assert summary.removed == 1
    assert {name: row.state for name, row in rows(settings).items() if name < "006.png"} == {
        **dict.fromkeys(("000.png", "001.png", "002.png", "003.png", "004.png"), State.DONE),
        "005.png": State.GONE,
    }
    assert indexed(settings) == {path.name for path in images.iterdir()}
    assert verify(settings, [str(images)]).findings == []


def test_a_crash_while_removing_loses_no_image(
    images: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(images, settings)
    body, times = (images / "003.png").read_bytes(), os.stat(images / "003.png")
    (images / "003.png").unlink()

    def killed(index: EdgeIndex, ids: list[uuid.UUID], run_started_at: datetime) -> None:
        delete_images(index, ids, run_started_at)
        raise KeyboardInterrupt

    delete_images = EdgeIndex.delete_images
    with monkeypatch.context() as patched:
        patched.setattr(EdgeIndex, "delete_images", killed)
        with pytest.raises(KeyboardInterrupt):
            run(images, settings)
    # It comes back in the version that was done, and has no points.
    (images / "003.png").write_bytes(body)
    os.utime(images / "003.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(indexed(settings)) == 19
    run(images, settings)
    assert len(indexed(settings)) == 20
    assert not verify(settings, [str(images)]).findings


def test_a_glob_does_not_tell_what_is_gone(images: Path, settings: Settings) -> None:
    run(images, settings)
    with pytest.raises(UsageError, match="expected a folder or a file, got the glob"):
        run(images / "*.png", settings)


def test_a_limit_hides_what_is_there(images: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match="expected no limit"):
        run(images, settings.model_copy(update={"limit": 3}))


def test_an_index_in_use_is_told_and_nothing_recorded(images: Path, settings: Settings) -> None:
    run(images, settings)
    (images / "003.png").unlink()
    with (
        open_index(settings.index, None),  # type: ignore[attr-defined]
        pytest.raises(IndexBusyError),
    ):
        run(images, settings)
    assert rows(settings)["003.png"].state is State.DONE


def test_a_file_that_was_emptied_is_gone(images: Path, settings: Settings) -> None:
    run(images, settings)
    (images / "003.png").write_bytes(b"")
    assert run(images, settings).removed == 1
    assert rows(settings)["003.png"].state is State.GONE
    assert len(indexed(settings)) == 19
