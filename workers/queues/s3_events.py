"""Reads S3 event notifications. They are hints: only the store knows what is there now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from schemas.images import ImageRef

_EVENT_BRIDGE = "aws.s3"
_TEST = "s3:TestEvent"
_LONGEST_KEY = 1024  # bytes: S3 rejects a request with a longer key as malformed
_DEEPEST = 8  # a message in a message, through topics and queues
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Notification:
    """What a message says: the objects that it names, without a version, and what is not read.

    `unread` are the records, as JSON, that are no S3 events, or broken ones.
    """

    images: tuple[ImageRef, ...]
    unread: tuple[str, ...] = ()


def read_notification(body: str) -> Notification:
    """What a message's body says.

    The message may be S3's own, S3's through SNS or a queue, once or several times, or
    EventBridge's. S3 and most servers quote keys as in a query string, EventBridge does not. For
    servers other than S3 both readings of a key are returned, and for a key that is not quoted as
    UTF-8 each that it may stand for. Raises ValueError for a body in which nothing is a
    notification, of S3 or of another service.
    """
    try:
        found = [_read_record(record) for record in _records(json.loads(body), 0)]
    except (TypeError, KeyError, RecursionError, ValueError) as exc:
        raise _no_notification(body) from exc
    refs = dict.fromkeys(ref for record in found for ref in record.images)
    unread = [text for record in found for text in record.unread]
    if unread and not refs and not all(map(_is_of_another_service, unread)):
        raise _no_notification(body)
    return Notification(tuple(refs), tuple(unread))


def _no_notification(body: str) -> ValueError:
    return ValueError(f"expected an S3 event notification, got {body[:_SHOWN]!r}")


def _records(message: Any, depth: int) -> Iterator[Any]:
    """The records of a message, and of the messages within it.

    Raises TypeError, KeyError or ValueError for what is no message.
    """
    if depth > _DEEPEST:
        raise ValueError(f"expected at most {_DEEPEST} messages within each other")
    if isinstance(message, str):
        message = json.loads(message)
    if isinstance(message, list) and message:
        message = {"Records": message}
    if not isinstance(message, dict):
        raise TypeError(f"expected an object, got {type(message).__name__}")
    if message.get("Event") == _TEST:
        return
    if message.get("Type") == "Notification" and "Message" in message:
        yield from _records(message["Message"], depth + 1)
    elif message.get("source") == _EVENT_BRIDGE:
        _mapping(message["detail"])
        yield message
    else:
        records = message["Records"]
        if not isinstance(records, list):
            raise TypeError(f"expected a list, got {type(records).__name__}")
        for record in records:
            yield from _unwrapped(record, depth)


def _unwrapped(record: Any, depth: int) -> Iterator[Any]:
    """A record, or those of the message that it carries from a topic or a queue."""
    carried = None
    if isinstance(record, dict) and "s3" not in record:
        topic = record.get("Sns")
        carried = topic.get("Message") if isinstance(topic, dict) else record.get("body")
    try:
        within = list(_records(carried, depth + 1)) if isinstance(carried, str) else [record]
    except (TypeError, KeyError, ValueError):
        within = [record]
    yield from within


def _read_record(record: Any) -> Notification:
    try:
        return Notification(tuple(_refs_of(_mapping(record))))
    except (TypeError, KeyError, ValueError):
        return Notification((), (json.dumps(record),))


def _refs_of(record: Mapping[str, Any]) -> list[ImageRef]:
    if record.get("source") == _EVENT_BRIDGE:
        return [_ref_of_event_bridge(_mapping(record["detail"]))]
    event = _mapping(record["s3"])
    bucket, key = _mapping(event["bucket"])["name"], _mapping(event["object"])["key"]
    if not isinstance(key, str):
        raise TypeError(f"expected a key, got {type(key).__name__}")
    try:
        readings = [unquote_plus(key, errors="strict")]
        if record.get("eventSource") != "aws:s3":
            readings.append(key)
    except UnicodeDecodeError:
        # Not quoted, or quoted in an older encoding.
        readings = [key, key.replace("+", " "), unquote_plus(key, "latin-1")]
    return [_ref(bucket, reading) for reading in dict.fromkeys(readings)]


def _ref_of_event_bridge(detail: Mapping[str, Any]) -> ImageRef:
    if "requestParameters" in detail:  # CloudTrail's record of a request
        request = _mapping(detail["requestParameters"])
        return _ref(request["bucketName"], request["key"])
    return _ref(_mapping(detail["bucket"])["name"], _mapping(detail["object"])["key"])


def _is_of_another_service(unread: str) -> bool:
    """Whether a record names where it comes from, and that is not S3 or a server like it."""
    record = json.loads(unread)
    if not isinstance(record, dict):
        return False
    source = record.get("eventSource", record.get("EventSource"))
    return isinstance(source, str) and ":" in source and not source.endswith(":s3")


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _ref(bucket: Any, key: Any) -> ImageRef:
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise TypeError("expected the names of a bucket and a key")
    # JSON may hold half a surrogate pair, which `encode` refuses with a ValueError.
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"expected a key of at most {_LONGEST_KEY} bytes")
    return ImageRef("s3", bucket, key, version="", size_bytes=0)
