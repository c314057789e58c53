"""Messages of an SQS queue, through boto3."""

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
from workers.stores.s3 import mapped

_log = logging.getLogger(__name__)
_A_REQUEST = 10  # SQS's own limit
_LONGEST_WAIT_S = 20
_HIDDEN_S = 60
_SOON_S = 5
_EXTENDED_EVERY_S = 20.0
# With the statuses of a refusal; the older protocol has a name before them.
_NOT_NOW = frozenset({"OverLimit", "RequestThrottled", "ThrottlingException", "Throttling"})
_NO_QUEUE = frozenset({"NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True, slots=True)
class Message:
    """`receipt` is what this delivery of it is deleted by."""

    message_id: str
    body: str
    receipt: str


class SqsQueue:
    """The queue at `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or of another server.

    Raises UsageError for a text that is none, StoreAccessError, StoreUnavailableError.
    """

    def __init__(self, url: str, options: StoreOptions) -> None:
        self.url, self._options = url, options
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or len(parts.path) < 2:
                raise ValueError(url)
            self._client = self._connected(parts.hostname, f"{parts.scheme}://{parts.netloc}")
        except ValueError as exc:  # boto3's, too, for a host that cannot be one
            raise UsageError(
                "expected the URL of an SQS queue, such as "
                f"https://sqs.eu-west-1.amazonaws.com/123456789012/photos, got {url!r}"
            ) from exc

    def _connected(self, hostname: str, endpoint_url: str) -> Any:
        options, host = self._options, hostname.split(".")
        with mapped(self.url, options):
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
        """Up to `most` messages: waits for the first, and takes what else is there already."""
        messages: list[Message] = []
        while len(messages) < most:
            some = self._received(0 if messages else min(wait_s, _LONGEST_WAIT_S))
            messages += some
            if not some:
                break
        return messages

    def _received(self, wait_s: float) -> list[Message]:
        with self._mapped():
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_A_REQUEST,
                WaitTimeSeconds=round(wait_s),
                VisibilityTimeout=_HIDDEN_S,
            )
        return [
            Message(one["MessageId"], one["Body"], one["ReceiptHandle"])
            for one in answer.get("Messages", [])
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """Have them never delivered again. One that is not deleted is, which changes nothing."""
        for entries in _entries(messages):
            with self._mapped():
                self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    @contextmanager
    def held(self, messages: Sequence[Message]) -> Iterator[None]:
        """Keeps them from being delivered again during the block, however long it takes.

        If it fails they are delivered again soon.
        """
        ended = threading.Event()

        def extend() -> None:
            while not ended.wait(_EXTENDED_EVERY_S):
                try:
                    self._hide(messages, _HIDDEN_S)
                except ObjseekError as exc:  # then they are delivered once more
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
            with self._mapped():
                self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=longer)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        with mapped(self.url, self._options):
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
    for start in range(0, len(messages), _A_REQUEST):
        some = messages[start : start + _A_REQUEST]
        yield [{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(some)]
