"""Receives messages from an SQS queue, through boto3."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from schemas.errors import ObjseekError, StoreAccessError, StoreUnavailableError, UsageError
from schemas.options import StoreOptions
from workers.stores.s3_client import raising_store_errors

_log = logging.getLogger(__name__)
_MOST_PER_REQUEST = 10  # SQS's own limit
_LONGEST_WAIT_S = 20
_HIDDEN_S = 60
_SOON_S = 5
_EXTENDED_EVERY_S = 20.0
# These come with the status of a refusal; the older protocol puts a prefix before the name.
_NOT_NOW = frozenset({"OverLimit", "RequestThrottled", "ThrottlingException", "Throttling"})
_NO_QUEUE = frozenset({"NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message; `receipt` is the handle to delete it by."""

    message_id: str
    body: str
    receipt: str


class SqsQueue:
    """The queue at `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or of another server.

    Raises UsageError for any other text, StoreAccessError, StoreUnavailableError.
    """

    def __init__(self, url: str, options: StoreOptions) -> None:
        self.url, self._options = url, options
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or len(parts.path) < 2:
                raise ValueError(url)
            self._client = self._connect(parts.hostname, f"{parts.scheme}://{parts.netloc}")
        except ValueError as exc:  # boto3's, too, for a host that cannot be one
            raise UsageError(
                "expected the URL of an SQS queue, such as "
                f"https://sqs.eu-west-1.amazonaws.com/123456789012/photos, got {url!r}"
            ) from exc

    def _connect(self, hostname: str, endpoint_url: str) -> Any:
        options, host = self._options, hostname.split(".")
        with raising_store_errors(self.url, options):
            session = boto3.Session(profile_name=options.profile)
            region = host[1] if host[0] == "sqs" and len(host) > 2 else session.region_name
            return session.client(
                "sqs",
                endpoint_url=endpoint_url,
                region_name=region or "us-east-1",
                config=Config(
                    connect_timeout=options.connect_timeout_s,
                    read_timeout=max(options.read_timeout_s, 2 * _LONGEST_WAIT_S),
                    retries={"mode": "standard", "total_max_attempts": options.max_attempts},
                ),
            )

    def receive(self, wait_s: float, most: int) -> list[Message]:
        """Up to `most` messages: waits for the first, and takes what else has already arrived."""
        messages: list[Message] = []
        while len(messages) < most:
            received = self._receive_batch(0 if messages else min(wait_s, _LONGEST_WAIT_S))
            messages += received
            if not received:
                break
        return messages

    def _receive_batch(self, wait_s: float) -> list[Message]:
        with self._raising_queue_errors():
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_MOST_PER_REQUEST,
                WaitTimeSeconds=round(wait_s),
                VisibilityTimeout=_HIDDEN_S,
            )
        return [
            Message(message["MessageId"], message["Body"], message["ReceiptHandle"])
            for message in answer.get("Messages", [])
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages. One that SQS fails to delete is delivered again, which is harmless."""
        for entries in _entries(messages):
            with self._raising_queue_errors():
                self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    @contextmanager
    def hold(self, messages: Sequence[Message]) -> Iterator[None]:
        """Keep messages from being delivered again during the block, however long it takes.

        If the block raises, they are delivered again soon.
        """
        ended = threading.Event()

        def extend() -> None:
            while not ended.wait(_EXTENDED_EVERY_S):
                try:
                    self._hide(messages, _HIDDEN_S)
                except ObjseekError as exc:  # then they are delivered again
                    _log.warning("%s", exc)

        thread = threading.Thread(target=extend, name="queue", daemon=True)
        thread.start()
        try:
            yield
        except ObjseekError:
            self._hide(messages, _SOON_S)
            raise
        finally:
            ended.set()
            thread.join()

    def _hide(self, messages: Sequence[Message], seconds: int) -> None:
        for entries in _entries(messages):
            longer = [{**entry, "VisibilityTimeout": seconds} for entry in entries]
            with self._raising_queue_errors():
                self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=longer)

    @contextmanager
    def _raising_queue_errors(self) -> Iterator[None]:
        with raising_store_errors(self.url, self._options):
            try:
                yield
            except ClientError as exc:
                code = exc.response["Error"].get("Code", "").rpartition(".")[2]
                if code in _NO_QUEUE:
                    raise StoreAccessError(
                        f"expected an SQS queue, there is none at {self.url}"
                    ) from exc
                if code in _NOT_NOW:
                    raise StoreUnavailableError(
                        f"expected the queue to answer, got {code} ({self.url})"
                    ) from exc
                raise


def _entries(messages: Sequence[Message]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(messages), _MOST_PER_REQUEST):
        batch = messages[start : start + _MOST_PER_REQUEST]
        yield [
            {"Id": str(number), "ReceiptHandle": message.receipt}
            for number, message in enumerate(batch)
        ]
