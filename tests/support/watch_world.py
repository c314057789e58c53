"""A bucket with a queue, and watches over them with the fakes for models."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
from support import fakes
from support.s3_events import s3_event
from support.s3_server import S3Server, moto_server

from pipeline.jobs.watch import Round, WatchReporter, watch
from pipeline.settings import Settings
from workers.indexes.open import open_index
from workers.queues.sqs import SqsQueue


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

    def record(self, quoted_key: str) -> dict[str, Any]:
        """A record of a message about an object, whose key stands there as it is given."""
        record: dict[str, Any] = json.loads(s3_event(quoted_key, bucket=self.bucket))["Records"][0]
        return record

    def send_records(self, *records: dict[str, Any]) -> None:
        body = json.dumps({"Records": records})
        self.sqs.send_message(QueueUrl=self.queue.url, MessageBody=body)

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}/"

    def watch(self, ended: threading.Event, **more: Any) -> None:
        options: dict[str, Any] = {"every_s": 3600, "queue": self.queue, "max_delete": 1} | more
        reporter = WatchReporter(self.rounds.append, self.troubles.append)
        recipe = fakes.recipe(self.settings)
        watch([self.source], self.settings, reporter, ended=ended, recipe=recipe, **options)

    def indexed(self) -> dict[str, str]:
        """The versions of the images that the index has, by key."""
        with open_index(self.settings.index, None) as index:  # type: ignore[attr-defined]
            payloads = [point.parse_payload() for point in index.scroll()]
        return {payload.key: payload.version for payload in payloads if payload.kind == "image"}

    def listed(self) -> dict[str, str]:
        pages = self.server.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        items = (item for page in pages for item in page.get("Contents", []))
        return {item["Key"]: item["ETag"].strip('"') for item in items}

    def waiting(self) -> int:
        """Messages that are in the queue, delivered or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        response = self.sqs.get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=names)
        return sum(map(int, response["Attributes"].values()))


@contextmanager
def watched_bucket(tmp_path: Path) -> Iterator[World]:
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
