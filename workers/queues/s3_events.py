"""What an S3 event notification names. It is a hint: what is there now, the store tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from schemas.images import ImageRef

_EVENT_BRIDGE = "aws.s3"
_TEST = "s3:TestEvent"
_LONGEST_KEY = 1024  # bytes, of S3; to a longer one it answers as to a request that is none


def images_named(body: str) -> list[ImageRef]:
    """The objects that a message's body names, without a version.

    It may be S3's own, one that came through SNS, or EventBridge's. S3 and most servers quote keys
    as in a query string; EventBridge does not, and of servers that may not either both readings
    are named. Raises ValueError for another body.
    """
    try:
        message = _mapping(json.loads(body))
        if message.get("Type") == "Notification" and "Message" in message:
            message = _mapping(json.loads(message["Message"]))
        return _named(message)
    except (TypeError, KeyError, RecursionError, ValueError) as exc:
        raise ValueError(f"expected an S3 event notification, got {body[:200]!r}") from exc


def _named(message: Mapping[str, Any]) -> list[ImageRef]:
    if message.get("Event") == _TEST:
        return []
    if message.get("source") == _EVENT_BRIDGE:
        detail = _mapping(message["detail"])
        return [_ref(detail["bucket"]["name"], detail["object"]["key"])]
    refs: list[ImageRef] = []
    for record in message["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
        readings = [unquote_plus(key, errors="strict")]
        if record.get("eventSource") != "aws:s3":
            readings.append(key)
        refs += [_ref(bucket, reading) for reading in dict.fromkeys(readings)]
    return refs


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _ref(bucket: Any, key: Any) -> ImageRef:
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise TypeError("expected the names of a bucket and a key")
    # JSON may hold half a character, which no key can.
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"expected a key of at most {_LONGEST_KEY} bytes")
    return ImageRef("s3", bucket, key, version="", size_bytes=0)
