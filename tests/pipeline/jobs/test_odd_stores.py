"""Jobs over buckets without ETags and with archived objects: what comes in, stays, and is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import fakes
from support.odd_s3 import LATER, OddObject, OddStore, odd_store
from support.s3_server import error_reply

from pipeline.cli.status_report import gather_report
from pipeline.jobs.ingest import ingest
from pipeline.jobs.sync import sync
from pipeline.jobs.verify import verify
from pipeline.jobs.watch import Round, WatchReporter, watch
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import UsageError
from workers.stores.selection import ARCHIVED

pytestmark = pytest.mark.trials

SOURCE = "s3://photos/"
TIMED = "<LastModified>2024-01-0{}T00:00:00.000Z</LastModified>{{size_xml}}"
GLACIER = "{etag_xml}{size_xml}<StorageClass>GLACIER</StorageClass>"


@dataclass
class World:
    """A bucket of three images, and an index of it with the fakes for models."""

    store: OddStore
    settings: Settings
    folder: Path

    def body(self, number: int) -> bytes:
        return fakes.write_image(self.folder / "one.png", number).read_bytes()

    def change(self, key: str, **changes: object) -> None:
        self.store.objects[key] = replace(self.store.objects[key], **changes)  # type: ignore[arg-type]

    def ingest(self) -> IngestCounts:
        return ingest([SOURCE], self.settings, recipe=fakes.recipe(self.settings)).counts

    def indexed(self) -> set[str]:
        payloads = [payload for payload, _ in fakes.points(self.settings).values()]
        return {str(payload["key"]) for payload in payloads}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with odd_store({}) as (store, endpoint):
        settings = fakes.settings(tmp_path / "index")
        options = settings.store.model_copy(update={"endpoint_url": endpoint})
        made = World(store, settings.model_copy(update={"store": options}), tmp_path)
        for number in range(3):
            store.objects[f"{number}.png"] = OddObject(made.body(number))
        yield made


def test_without_etags_images_are_done_once_and_again_when_replaced(world: World) -> None:
    for number in range(3):
        world.change(f"{number}.png", listed=TIMED.format(1), headers={})
    assert world.ingest().done == 3
    assert world.ingest().unchanged == 3
    world.change("1.png", listed=TIMED.format(2), headers={"Last-Modified": LATER})
    counts = world.ingest()
    assert (counts.done, counts.unchanged) == (1, 2)
    report = gather_report(world.settings, [SOURCE], 1)
    assert report.fields["versions_by_time"] == 3
    assert report.fields["waiting"] == 0
    assert verify(world.settings, [SOURCE]).findings == []


def test_with_etags_nothing_is_told_of_times(world: World) -> None:
    world.ingest()
    assert gather_report(world.settings, (), 1).fields["versions_by_time"] == 0


def test_a_proxy_that_marks_etags_changes_nothing(world: World) -> None:
    assert world.ingest().done == 3
    for number in range(3):
        world.change(
            f"{number}.png", headers={"ETag": 'W/"{etag}-gzip"'}, matches=(),
            listed='<ETag>W/"{etag}"</ETag>{size_xml}',
        )  # fmt: skip
    assert world.ingest().unchanged == 3
    world.change("0.png", body=world.body(7))
    assert world.ingest().done == 1


def test_archived_images_are_counted_and_not_tried(world: World) -> None:
    world.change("1.png", listed=GLACIER, refused=error_reply(403, "InvalidObjectState"))
    progress = Progress()
    summary = ingest([SOURCE], world.settings, progress, fakes.recipe(world.settings))
    assert (summary.counts.done, summary.counts.failed, summary.counts.rejected) == (2, 0, 0)
    assert progress.details.skipped == {ARCHIVED: 1}
    assert verify(world.settings, [SOURCE]).findings == []


def test_images_that_are_archived_later_stay_in_the_index(world: World) -> None:
    world.ingest()
    for key in ("0.png", "1.png"):
        world.change(key, listed=GLACIER, refused=error_reply(403, "InvalidObjectState"))
    del world.store.objects["2.png"]
    assert [finding.uri for finding in verify(world.settings, [SOURCE]).findings] == [
        f"{SOURCE}2.png"
    ]
    summary = sync([SOURCE], world.settings, 1, recipe=fakes.recipe(world.settings))
    assert (summary.removed, summary.ingest) == (1, None)
    assert world.indexed() == {"0.png", "1.png"}
    with pytest.raises(UsageError, match=rf"\(skipped: 2 as {ARCHIVED}\)"):
        world.ingest()


def test_a_watch_keeps_what_is_archived(world: World) -> None:
    world.ingest()
    world.change("0.png", listed=GLACIER, refused=error_reply(403, "InvalidObjectState"))
    rounds: list[Round] = []
    watch(
        [SOURCE], world.settings, WatchReporter(rounds.append, pytest.fail), every_s=9,
        max_delete=1, once=True, ended=threading.Event(), recipe=fakes.recipe(world.settings),
    )  # fmt: skip
    assert [one.removed for one in rounds] == [0]
    assert world.indexed() == {"0.png", "1.png", "2.png"}


def test_what_is_archived_behind_the_listing_is_rejected_once(world: World) -> None:
    world.change("1.png", refused=error_reply(403, "InvalidObjectState"))
    counts = world.ingest()
    assert (counts.done, counts.rejected, counts.failed) == (2, 1, 0)
    assert "restore it" in fakes.rows(world.settings)["1.png"].message
    assert world.ingest().unchanged == 3


def test_sizes_that_are_not_listed_are_no_reason_to_skip(world: World) -> None:
    for number in range(3):
        world.change(f"{number}.png", listed="{etag_xml}")
    world.change("2.png", body=b"")
    counts = world.ingest()
    assert (counts.done, counts.rejected) == (2, 1)
    assert world.ingest().unchanged == 3


def test_a_key_that_is_listed_twice_is_one_image(world: World) -> None:
    world.store.tail = world.store.objects["2.png"].entry("2.png") + world.store.tail
    assert world.ingest().listed == 3
    assert world.ingest().unchanged == 3
