"""Watching a bucket: what comes, changes and goes there does so in the index."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support import fakes
from support.waiting import until
from support.watch_world import World, watched_bucket, watching

import pipeline.ingestion.session
import pipeline.jobs.watch
from pipeline.index_home import current_generation
from pipeline.jobs.verify import verify
from pipeline.jobs.watch import Round, WatchReporter, watch
from pipeline.runners.model_worker import ModelWorker
from schemas.errors import StoreAccessError, StoreError, StoreUnavailableError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from schemas.records import EmbeddedImage
from workers.indexes.open import open_index
from workers.queues.sqs import Message, SqsQueue
from workers.stores.open import find


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with watched_bucket(tmp_path) as world:
        yield world


def test_a_listing_finds_what_came_changed_and_went(world: World) -> None:
    for number in range(4):
        world.put(f"{number}.png", number)
    ended = threading.Event()
    with watching(world, every_s=0.1, queue=None):
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 4)
        world.put("0.png", 70)
        world.put("new.png", 71)
        world.delete("3.png")
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 6)
        until(lambda: sum(watch_round.removed for watch_round in world.rounds) == 1)
    assert world.indexed() == world.listed()
    assert world.troubles == []
    ended.set()


def test_events_bring_in_what_they_name(world: World) -> None:
    world.put("before.png", 1)
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("a b+ä.png", 2)
        world.put("before.png", 3)
        world.send("a b+ä.png", "before.png", "a b+ä.png")
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 3)
        world.delete("before.png")
        world.send("before.png")
        until(lambda: sum(watch_round.removed for watch_round in world.rounds) == 1)
        # What was removed is removed once, and what is there stays as it is.
        world.send("before.png", "a b+ä.png", "never.png", "notes.txt")
        until(lambda: world.waiting() == 0)
    assert world.indexed() == world.listed()
    assert [watch_round.cause for watch_round in world.rounds][:2] == ["listing", "events"]
    assert sum(watch_round.counts.done for watch_round in world.rounds) == 3


def test_models_are_loaded_once_and_only_when_needed(world: World, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    recipe = fakes.recipe(world.settings, loads=loads)
    ended = threading.Event()

    def after(watch_round: Round) -> None:
        world.rounds.append(watch_round)
        if len(world.rounds) == 2:
            assert not loads.exists()
            world.put("0.png", 0)
        if len(world.rounds) == 5:
            world.put("1.png", 1)
        if sum(watch_round.counts.done for watch_round in world.rounds) == 2:
            ended.set()

    reporter = WatchReporter(after, world.troubles.append)
    watch([world.source], world.settings, reporter, every_s=0.01, ended=ended, recipe=recipe)
    assert len(loads.read_text().splitlines()) == 1
    assert world.indexed() == world.listed()


class Killed(BaseException):
    """The process ends here."""


class DyingQueue(SqsQueue):
    """Ends the process when messages are to be deleted."""

    def delete(self, messages: object) -> None:
        raise Killed


def test_what_was_done_and_not_deleted_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.queues.sqs._HIDDEN_S", 1)
    world.put("0.png", 0)
    world.send("0.png")
    dying = DyingQueue(world.queue.url, world.settings.store)
    with pytest.raises(Killed):
        world.watch(threading.Event(), queue=dying)
    assert world.waiting() == 1
    before = fakes.points(world.settings)
    with watching(world):
        until(lambda: world.waiting() == 0)
    assert fakes.points(world.settings) == before
    assert sum(watch_round.counts.done for watch_round in world.rounds) == 1


def test_what_cannot_be_read_stays_in_the_queue(world: World) -> None:
    world.sqs.send_message(QueueUrl=world.queue.url, MessageBody="hello")
    world.put("0.png", 0)
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("1.png", 1)
        world.send("1.png")
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 2)
        until(lambda: world.waiting() == 1)
    assert world.troubles == [
        "expected an S3 event notification, got 'hello'; the message is left in the queue"
    ]


@pytest.mark.trials
def test_what_is_understood_of_a_message_is_used(world: World) -> None:
    foreign = {"eventSource": "aws:sqs", "body": "hello"}
    broken = {"eventSource": "aws:s3", "s3": {"bucket": {"name": world.bucket}, "object": {}}}
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("0.png", 0)
        world.send_records(foreign, world.record("0.png"))
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 1)
        # What belongs to another service is none of this bucket's, alone or among others.
        world.send_records(foreign)
        until(lambda: world.waiting() == 0)
        world.put("1.png", 1)
        world.send_records(world.record("1.png"), broken)
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 2)
        until(lambda: len(world.troubles) == 3)
        assert world.waiting() == 1
    assert world.indexed() == world.listed()
    got = "expected an S3 event, got the record"
    used = f"{got} {json.dumps(foreign)!r}; the rest of its message is used"
    left = f"{got} {json.dumps(broken)!r}; its message is left in the queue"
    assert world.troubles == [used, used, left]


@pytest.mark.trials
def test_a_key_that_is_quoted_as_nobody_should_is_found(world: World) -> None:
    world.put("foto%E9.png", 0)
    world.put("caf\u00e9+1.png", 1)
    with watching(world, every_s=3600):
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 2)
        world.put("foto%E9.png", 2)
        world.put("caf\u00e9+1.png", 3)
        world.send_records(world.record("foto%E9.png"), world.record("caf%E9%2B1.png"))
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 4)
    assert world.indexed() == world.listed()
    assert world.troubles == []


def test_more_than_may_go_is_told_once_and_tried_again(world: World) -> None:
    for number in range(4):
        world.put(f"{number}.png", number)
    with watching(world, queue=None, every_s=0.1, max_delete=0.3):
        until(lambda: len(world.rounds) >= 1)
        world.delete("0.png")
        world.delete("1.png")
        world.put("new.png", 9)
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 5)
        seen = len(world.rounds)
        until(lambda: len(world.rounds) > seen + 2)
        assert sum(watch_round.removed for watch_round in world.rounds) == 0
        world.put("1.png", 1)
        until(lambda: sum(watch_round.removed for watch_round in world.rounds) == 1)
    assert world.indexed() == world.listed()
    # What is there when the listing runs depends on the moment.
    assert all("--max-delete 0.3 allows fewer: they stay in the index" in t for t in world.troubles)
    assert len(world.troubles) == len(set(world.troubles)) <= 2


def test_points_that_no_row_tells_of_go_with_their_image(world: World) -> None:
    world.put("0.png", 0)
    world.watch(threading.Event(), once=True, queue=None)
    ref = ImageRef("s3", world.bucket, "1.png", world.put("1.png", 1), size_bytes=0)
    recipe = fakes.recipe(world.settings)
    (image,) = ModelWorker(recipe).process(recipe.reader([ref]))
    assert isinstance(image, EmbeddedImage)
    with open_index(world.settings.index, None) as index:  # type: ignore[attr-defined]
        index.replace_images([image])
    world.delete("1.png")
    world.send("1.png")
    with watching(world):
        until(lambda: world.waiting() == 0)
    assert verify(world.settings, [world.source]).findings == []


def test_what_the_store_refuses_to_tell_stays_in_the_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
        if ref.key == "secret.png":
            raise StoreAccessError(f"expected access, got none ({ref.uri})")
        return find(ref, options)

    monkeypatch.setattr("pipeline.jobs.watch.find", refusing)
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("0.png", 0)
        world.send("secret.png")
        world.send("0.png")
        until(lambda: sum(watch_round.counts.done for watch_round in world.rounds) == 1)
        until(lambda: world.waiting() == 1)
    assert world.troubles == [
        f"expected access, got none ({world.source}secret.png); what names it is left in the queue"
    ]


def test_messages_are_held_while_the_index_is_in_use(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.jobs.watch._PATIENCE_S", 0.1)
    world.put("0.png", 0)
    world.watch(threading.Event(), once=True, queue=None)
    received: list[int] = []
    receive = SqsQueue.receive

    def counted(queue: SqsQueue, wait_s: float, most: int) -> list[Message]:
        messages = receive(queue, wait_s, most)
        received.append(len(messages))
        return messages

    attempts: list[str] = []
    attempt = pipeline.jobs.watch._Watch.attempt

    def attempted(watch: Any, what: str, work: Callable[[], None]) -> bool:
        attempts.append(what)
        return attempt(watch, what, work)

    monkeypatch.setattr(SqsQueue, "receive", counted)
    with watching(world):
        until(lambda: len(world.rounds) == 2)
        monkeypatch.setattr("pipeline.jobs.watch._Watch.attempt", attempted)
        with open_index(world.settings.index, None):  # type: ignore[attr-defined]
            world.put("1.png", 1)
            world.send("1.png")
            until(lambda: bool(world.troubles))
            until(lambda: len(attempts) > 3)
        until(lambda: world.waiting() == 0)
    assert sum(received) <= 2  # the other wakes the watch at its end
    assert len(world.troubles) == 1
    assert world.indexed() == world.listed()


def test_an_index_in_use_is_waited_for(world: World) -> None:
    world.put("0.png", 0)
    world.watch(threading.Event(), once=True, queue=None)
    world.put("1.png", 1)
    with open_index(world.settings.index, None):  # type: ignore[attr-defined]
        ended = threading.Event()
        reporter = WatchReporter(
            world.rounds.append, lambda text: (world.troubles.append(text), ended.set())
        )
        recipe = fakes.recipe(world.settings)
        watch([world.source], world.settings, reporter, every_s=9, ended=ended, recipe=recipe)
    assert "in use" in world.troubles[0]
    world.watch(threading.Event(), once=True, queue=None)
    assert world.indexed() == world.listed()


def test_a_generation_that_comes_into_use_ends_only_a_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.jobs.watch._PATIENCE_S", 0.1)
    # At the end of the first round it is another than at its beginning.
    ends = iter(["another"])
    monkeypatch.setattr(
        "pipeline.ingestion.session.current_generation",
        lambda settings: next(ends, current_generation(settings)),
    )
    world.put("0.png", 0)
    with watching(world, queue=None):
        until(lambda: len(world.rounds) == 1)
    assert len(world.troubles) == 1
    assert "came into use while this ran" in world.troubles[0]
    assert world.indexed() == world.listed()


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("OverLimit", 403, StoreUnavailableError),
        ("AWS.SimpleQueueService.OverLimit", 403, StoreUnavailableError),
        ("RequestThrottled", 400, StoreUnavailableError),
        ("InternalError", 500, StoreUnavailableError),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, StoreAccessError),
        ("AccessDenied", 403, StoreAccessError),
    ],
)
def test_what_a_queue_answers_passes_or_does_not(
    code: str, status: int, error: type[StoreError]
) -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/photos"
    queue = SqsQueue(url, StoreOptions())
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    class Answering:
        def receive_message(self, **request: object) -> None:
            raise ClientError(answer, "ReceiveMessage")  # type: ignore[arg-type]

    queue._client = Answering()
    with pytest.raises(error, match=code.rpartition(".")[2] if status != 400 else url):
        queue.receive(0, 10)


def test_a_glob_cannot_be_watched(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    reporter = WatchReporter(lambda watch_round: None, lambda text: None)
    with pytest.raises(UsageError, match="expected a folder or a file, got the glob"):
        watch(["*.jpg"], settings, reporter, every_s=9, recipe=fakes.recipe(settings))
