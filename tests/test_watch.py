"""Watching a bucket: whatever events do, at rest the index is what the bucket is."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import fakes
import numpy as np
import pytest
from qdrant_server import qdrant_server
from s3_server import S3Server, moto_server
from test_events import s3_event

from pipeline.ingest import ingest
from pipeline.process import ModelWorker
from pipeline.settings import Settings
from pipeline.verify import verify
from pipeline.watch import Round, Told, watch
from schemas.errors import StoreAccessError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from schemas.records import EmbeddedImage
from schemas.search import Condition
from workers.indexes import open_index
from workers.queues.sqs import Message, SqsQueue
from workers.stores import find


@dataclass
class World:
    """A bucket with a queue, and a watch over them with the fakes for models."""

    server: S3Server
    bucket: str
    queue: SqsQueue
    sqs: Any
    settings: Settings
    folder: Path
    rounds: list[Round] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def put(self, key: str, number: int) -> str:
        """The version that it has now."""
        body = fakes.write_image(self.folder / "one.png", number).read_bytes()
        answer = self.server.client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return str(answer["ETag"].strip('"'))

    def delete(self, key: str) -> None:
        self.server.client.delete_object(Bucket=self.bucket, Key=key)

    def send(self, *keys: str) -> None:
        body = s3_event(*map(quote_plus, keys), bucket=self.bucket)
        self.sqs.send_message(QueueUrl=self.queue.url, MessageBody=body)

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}/"

    def watch(self, ended: threading.Event, **more: Any) -> None:
        options: dict[str, Any] = {"every_s": 3600, "queue": self.queue, "max_delete": 1} | more
        told = Told(self.rounds.append, self.troubles.append)
        recipe = fakes.recipe(self.settings)
        watch([self.source], self.settings, told, ended=ended, recipe=recipe, **options)

    def indexed(self) -> dict[str, str]:
        """The versions of the images that the index has, by key."""
        with open_index(self.settings.index, None) as index:  # type: ignore[attr-defined]
            hits = [hit.payload for hit in index.scroll()]
        return {payload.key: payload.version for payload in hits if payload.kind == "image"}

    def listed(self) -> dict[str, str]:
        pages = self.server.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        items = (item for page in pages for item in page.get("Contents", []))
        return {item["Key"]: item["ETag"].strip('"') for item in items}

    def waiting(self) -> int:
        """Messages that are in the queue, delivered or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.sqs.get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=names)
        return sum(map(int, told["Attributes"].values()))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with moto_server() as server:
        sqs = boto3.Session().client("sqs", endpoint_url=server.endpoint_url)
        bucket = server.make_bucket()
        # moto keeps its queues for as long as the process lives, with what is left in them.
        url = sqs.create_queue(QueueName=bucket)["QueueUrl"]
        settings = fakes.settings(tmp_path / "index")
        store = settings.store.model_copy(update={"endpoint_url": server.endpoint_url})
        settings = settings.model_copy(update={"store": store})
        queue = SqsQueue(url, store)
        yield World(server, bucket, queue, sqs, settings, tmp_path)


@contextmanager
def watching(world: World, **more: Any) -> Iterator[None]:
    """A watch on another thread, which raises here what it raised."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(world.watch, ended, **more)
        try:
            yield
        finally:
            ended.set()
            # Wakes the watch from waiting for messages.
            world.send("nothing")
            running.result()


def until(true: Callable[[], bool], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_listing_finds_what_came_changed_and_went(world: World) -> None:
    for number in range(4):
        world.put(f"{number}.png", number)
    ended = threading.Event()
    with watching(world, every_s=0.1, queue=None):
        until(lambda: sum(one.done for one in world.rounds) == 4)
        world.put("0.png", 70)
        world.put("new.png", 71)
        world.delete("3.png")
        until(lambda: sum(one.done for one in world.rounds) == 6)
        until(lambda: sum(one.removed for one in world.rounds) == 1)
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
        until(lambda: sum(one.done for one in world.rounds) == 3)
        world.delete("before.png")
        world.send("before.png")
        until(lambda: sum(one.removed for one in world.rounds) == 1)
        # What was removed is removed once, and what is there stays as it is.
        world.send("before.png", "a b+ä.png", "never.png", "notes.txt")
        until(lambda: world.waiting() == 0)
    assert world.indexed() == world.listed()
    assert [one.cause for one in world.rounds][:2] == ["listing", "events"]
    assert sum(one.done for one in world.rounds) == 3


def test_models_are_loaded_once_and_only_when_needed(world: World, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    recipe = fakes.recipe(world.settings, loads=loads)
    ended = threading.Event()

    def after(one: Round) -> None:
        world.rounds.append(one)
        if len(world.rounds) == 2:
            assert not loads.exists()
            world.put("0.png", 0)
        if len(world.rounds) == 5:
            world.put("1.png", 1)
        if sum(one.done for one in world.rounds) == 2:
            ended.set()

    told = Told(after, world.troubles.append)
    watch([world.source], world.settings, told, every_s=0.01, ended=ended, recipe=recipe)
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
    assert sum(one.done for one in world.rounds) == 1


def test_what_cannot_be_read_stays_in_the_queue(world: World) -> None:
    world.sqs.send_message(QueueUrl=world.queue.url, MessageBody="hello")
    world.put("0.png", 0)
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("1.png", 1)
        world.send("1.png")
        until(lambda: sum(one.done for one in world.rounds) == 2)
        until(lambda: world.waiting() == 1)
    assert world.troubles == [
        "expected an S3 event notification, got 'hello'; the message is left in the queue"
    ]


def test_more_than_may_go_is_told_once_and_tried_again(world: World) -> None:
    for number in range(4):
        world.put(f"{number}.png", number)
    with watching(world, queue=None, every_s=0.1, max_delete=0.3):
        until(lambda: len(world.rounds) >= 1)
        world.delete("0.png")
        world.delete("1.png")
        world.put("new.png", 9)
        until(lambda: sum(one.done for one in world.rounds) == 5)
        seen = len(world.rounds)
        until(lambda: len(world.rounds) > seen + 2)
        assert sum(one.removed for one in world.rounds) == 0
        world.put("1.png", 1)
        until(lambda: sum(one.removed for one in world.rounds) == 1)
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

    monkeypatch.setattr("pipeline.watch.find", refusing)
    with watching(world):
        until(lambda: len(world.rounds) == 1)
        world.put("0.png", 0)
        world.send("secret.png")
        world.send("0.png")
        until(lambda: sum(one.done for one in world.rounds) == 1)
        until(lambda: world.waiting() == 1)
    assert world.troubles == [
        f"expected access, got none ({world.source}secret.png); what names it is left in the queue"
    ]


def test_messages_are_held_while_the_index_is_in_use(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.watch._PATIENCE_S", 0.1)
    world.put("0.png", 0)
    world.watch(threading.Event(), once=True, queue=None)
    received: list[int] = []
    receive = SqsQueue.receive

    def counted(queue: SqsQueue, wait_s: float, most: int) -> list[Message]:
        messages = receive(queue, wait_s, most)
        received.append(len(messages))
        return messages

    monkeypatch.setattr(SqsQueue, "receive", counted)
    with watching(world):
        until(lambda: len(world.rounds) == 2)
        with open_index(world.settings.index, None):  # type: ignore[attr-defined]
            world.put("1.png", 1)
            world.send("1.png")
            until(lambda: bool(world.troubles))
            time.sleep(1)
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
        told = Told(world.rounds.append, lambda text: (world.troubles.append(text), ended.set()))
        recipe = fakes.recipe(world.settings)
        watch([world.source], world.settings, told, every_s=9, ended=ended, recipe=recipe)
    assert "in use" in world.troubles[0]
    world.watch(threading.Event(), once=True, queue=None)
    assert world.indexed() == world.listed()


class Searchable:
    """When each version of each image was first there to be found; seconds since it was put."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.put_at: dict[tuple[str, str], float] = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def look(self, ended: threading.Event) -> None:
        images = Condition(field="kind", op="=", value="image")
        with open_index(self._settings.index, None) as index:  # type: ignore[attr-defined]
            while not ended.wait(0.5):
                seen = {(hit.payload.key, hit.payload.version) for hit in index.scroll([images])}
                now = time.monotonic()
                for one in seen & self.put_at.keys() - self.seconds.keys():
                    self.seconds[one] = now - self.put_at[one]


def change_bucket(
    world: World, operations: int, chance: random.Random, searchable: Searchable
) -> None:
    """Creates, overwrites and deletes in random order.

    Of their events some are lost, some come again, and many come late and out of order.
    """
    keys = [f"{number:03}.png" for number in range(max(8, operations // 8))]
    late: list[str] = []
    for _ in range(operations):
        key = chance.choice(keys)
        if chance.random() < 0.3:
            world.delete(key)
        else:
            began = time.monotonic()
            version = world.put(key, chance.randrange(160))
            searchable.put_at.setdefault((key, version), began)
        late += [key] * chance.choices([0, 1, 2, 3], [0.1, 0.6, 0.2, 0.1])[0]
        chance.shuffle(late)
        while late and (len(late) > 6 or chance.random() < 0.5):
            world.send(late.pop())
    for key in late:
        world.send(key)


def ingest_again_and_again(world: World, ended: threading.Event) -> int:
    """Other ingests of the same source, as if somebody did not know of the watch."""
    runs = 0
    while not ended.wait(0.1):
        # There may be no image just now.
        with suppress(UsageError):
            ingest([world.source], world.settings, recipe=fakes.recipe(world.settings))
            runs += 1
    return runs


@pytest.mark.parametrize(
    "operations",
    [pytest.param(100, id="short"), pytest.param(2000, marks=pytest.mark.faults, id="whole")],
)
def test_at_rest_the_index_is_the_bucket(
    world: World, operations: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with qdrant_server() as server:
        place = {"location": f"{server.url}/photos", "state": str(tmp_path / "state")}
        index = world.settings.index.model_copy(update=place)
        world.settings = world.settings.model_copy(update={"index": index})
        searchable, ended = Searchable(world.settings), threading.Event()
        world.put("000.png", 0)
        with watching(world), ThreadPoolExecutor(2) as pool:
            until(lambda: len(world.rounds) == 1)
            looking = pool.submit(searchable.look, ended)
            beside = pool.submit(ingest_again_and_again, world, ended)
            change_bucket(world, operations, random.Random(operations), searchable)
            until(lambda: world.waiting() == 0, 120)
            ended.set()
            looking.result()
            assert beside.result() > 0
        world.watch(threading.Event(), once=True, queue=None)
        assert world.indexed() == world.listed()
        assert verify(world.settings, [world.source]).findings == []
        taken = sorted(searchable.seconds.values())
        assert len(taken) > operations / 5
        with capsys.disabled():
            print(
                f"\n{operations:,} operations: {len(taken):,} versions were found, "
                f"{np.median(taken):.2f} s (p50) and {np.quantile(taken, 0.95):.2f} s (p95) "
                "after their PUT"
            )


def command(world: World, *more: str) -> list[str]:
    script = str(Path(sys.executable).parent / "objseek")
    return [
        script, "watch", world.source, "--index", world.settings.index.location,
        "--endpoint-url", world.server.endpoint_url, "--runner", "local", *more,
    ]  # fmt: skip


def test_on_ray_rounds_are_told_and_a_sigterm_ends_it(world: World) -> None:
    world.put("0.png", 0)
    process = subprocess.Popen(
        [*command(world, "--json", "--preset", "fast"), "--runner", "ray"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    # Ray has both streams, and would have the signal.
    assert json.loads(process.stdout.readline())["done"] == 1
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    assert err.splitlines()[-1] == "1 image ingested and 0 removed in 1 round."


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it(world: World, number: int, code: int) -> None:
    process = subprocess.Popen(
        command(world, "--queue", world.queue.url, "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "Watching" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert out == ""
    assert "0 images ingested and 0 removed in " in err
    assert "Traceback" not in err


def test_rounds_are_told(world: World) -> None:
    world.server.client.put_object(Bucket=world.bucket, Key="0.png", Body=b"no image")
    done = subprocess.run(
        command(world, "--once", "--json"), capture_output=True, text=True, timeout=120, check=True
    )
    told = json.loads(done.stdout)
    assert (told["cause"], told["rejected"], told["removed"]) == ("listing", 1, 0)
    world.delete("0.png")
    done = subprocess.run(
        command(world, "--once", "--max-delete", "1"),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "listing  0 images, 0 objects, 1 removed" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["--queue", "photos"], 2, "expected the URL of an SQS queue, such as https://sqs."),
        (["--every", "0"], 2, "should be greater than or equal to 1"),
        (["--queue", "QUEUE-that-is-not-there"], 1, "NonExistentQueue"),
    ],
)
def test_mistakes(world: World, args: list[str], code: int, sentence: str) -> None:
    args = [arg.replace("QUEUE", world.queue.url) for arg in args]
    done = subprocess.run(
        command(world, *args), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_glob_cannot_be_watched(tmp_path: Path) -> None:
    settings = fakes.settings(tmp_path / "index")
    told = Told(lambda one: None, lambda text: None)
    with pytest.raises(UsageError, match="expected a folder or a file, got the glob"):
        watch(["*.jpg"], settings, told, every_s=9, recipe=fakes.recipe(settings))
