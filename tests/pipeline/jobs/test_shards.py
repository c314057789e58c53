"""Jobs that share a source: every image once, at the same time, and again after one was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fakes
from support.qdrant_server import QdrantServer
from support.waiting import until

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import ignore_skipped, list_images
from pipeline.jobs import shards
from pipeline.jobs.ingest import ingest
from pipeline.jobs.shards import ingest_shards
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from workers.stores.part_of_store import shard_of

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fakes.write_images(tmp_path / "images", 24)
    return tmp_path / "images"


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    made = QdrantServer()
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path, server: QdrantServer) -> Settings:
    made = fakes.settings(tmp_path)
    index = made.index.model_copy(
        update={"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
    )
    return made.model_copy(update={"index": index})


def choose(settings: Settings, **part: str) -> Settings:
    return settings.model_copy(update={"store": settings.store.model_copy(update=part)})


def rows(settings: Settings) -> list[ManifestRow]:
    return list(IndexHome.current(settings).manifest.latest())


def run_slowly(source: str, settings: Settings) -> None:
    """An ingest that can be killed in the middle."""
    ingest([source], settings, recipe=fakes.recipe(settings, delay_s=0.2))


def test_shards_one_after_the_other_do_every_image_once(images: Path, settings: Settings) -> None:
    counts = [
        ingest(
            [str(images)], choose(settings, shard=f"{number}/4"), recipe=fakes.recipe(settings)
        ).counts
        for number in (1, 2, 3, 4)
    ]
    assert sum(each.done for each in counts) == 24
    assert [each.listed for each in counts] == [each.done for each in counts]
    assert Counter(row.state for row in rows(settings)) == {State.DONE: 24}
    assert not verify(settings, [str(images)]).findings
    whole = ingest([str(images)], settings, recipe=fakes.recipe(settings)).counts
    assert (whole.listed, whole.unchanged) == (24, 24)


def test_a_shard_may_be_empty(images: Path, settings: Settings) -> None:
    source = str(images / "000.png")
    counts = [
        ingest(
            [source], choose(settings, shard=f"{number}/3"), recipe=fakes.recipe(settings)
        ).counts
        for number in (1, 2, 3)
    ]
    assert sorted(each.listed for each in counts) == [0, 0, 1]


def test_a_range_without_images_is_named(images: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"no images under .* in the range of keys 'x\.\.z'"):
        ingest([str(images)], choose(settings, key_range="x..z"), recipe=fakes.recipe(settings))


def test_a_folder_with_one_owner_is_refused(images: Path, tmp_path: Path) -> None:
    settings = choose(fakes.settings(tmp_path / "index"), shard="1/2")
    for job in (ingest, sync):
        with pytest.raises(UsageError, match=r"shard 1/2, .* got the folder .* one owner"):
            job([str(images)], settings, recipe=fakes.recipe(settings))  # type: ignore[operator]


def test_a_sync_removes_only_what_is_of_its_shard(images: Path, settings: Settings) -> None:
    ingest([str(images)], settings, recipe=fakes.recipe(settings))
    for path in images.iterdir():
        path.unlink()
    removed = []
    for number in (1, 2, 3):
        part = choose(settings, shard=f"{number}/3")
        with pytest.raises(UsageError, match="no longer there"):
            sync([str(images)], part, recipe=fakes.recipe(settings))
        removed.append(sync([str(images)], part, 1.0, recipe=fakes.recipe(settings)).removed)
        gone = [row for row in rows(settings) if row.state is State.GONE]
        assert len(gone) == sum(removed)
    assert sum(removed) == 24
    assert all(removed)


def test_jobs_at_the_same_time_share_index_and_manifest(images: Path, settings: Settings) -> None:
    progress = Progress()
    summary = ingest_shards([str(images)], settings, 2, progress, fakes.recipe(settings))
    assert summary.errors == {}
    counts = summary.together.counts
    assert (counts.listed, counts.done, counts.all_listed) == (24, 24, True)
    assert progress.counts == counts
    assert not verify(settings, [str(images)]).findings
    again = ingest_shards([str(images)], settings, 2, recipe=fakes.recipe(settings))
    assert (again.together.counts.unchanged, again.together.counts.done) == (24, 0)


def test_one_that_was_killed_is_run_again(
    images: Path, settings: Settings, server: QdrantServer
) -> None:
    part = choose(settings, shard="1/2")
    job = multiprocessing.get_context("spawn").Process(target=run_slowly, args=(str(images), part))
    job.start()
    assert job.pid is not None
    until(lambda: any(request.operation == "PUT /points" for request in server.requests))
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    other = ingest(
        [str(images)], choose(settings, shard="2/2"), recipe=fakes.recipe(settings)
    ).counts
    assert other.done == other.listed
    ingest([str(images)], part, recipe=fakes.recipe(settings))
    assert Counter(row.state for row in rows(settings)) == {State.DONE: 24}
    assert not verify(settings, [str(images)]).findings


def test_one_that_ends_early_ends_no_other(images: Path, settings: Settings) -> None:
    bad = fakes.write_image(images / "bad.png", 99, fakes.poison("abort"))
    ended = shard_of(ImageRef("file", "", str(bad), version="", size_bytes=0), 2)
    summary = ingest_shards([str(images)], settings, 2, recipe=fakes.recipe(settings))
    assert summary.errors == {f"{ended}/2": "its process ended with exit code -6"}
    store = choose(settings, shard=f"{3 - ended}/2").store
    others = list(list_images([str(images)], store, ignore_skipped))
    done = [row.uri for row in rows(settings) if row.state is State.DONE]
    assert {ref.uri for ref in others} <= set(done)
    assert summary.together.counts.done >= len(others) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"store": {"shard": "1/2"}}, "expected either a shard or how many are to be run"),
        ({"limit": 3}, "expected no limit for 4 shards, got 3"),
        ({"runner": {"name": "ray"}}, "expected the address of a Ray cluster for 4 shards"),
        ({"index": {"location": "folder"}}, "which has one owner"),
    ],
)
def test_what_jobs_cannot_share_is_refused(
    settings: Settings, changes: dict[str, object], message: str
) -> None:
    values = settings.model_dump(exclude_unset=True)
    merged = {
        name: {**values.get(name, {}), **change} if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    with pytest.raises(UsageError, match=message):
        shards.check_shards(Settings(**{**values, **merged}), 4)
