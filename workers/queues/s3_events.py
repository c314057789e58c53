"""Reads S3 event notifications. They are hints: only the store knows what is there now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from schemas.images import ImageRef

_EVENT_BRIDGE = "aws.s3"
_TEST = "s3:TestEvent"
_LONGEST_KEY = 1024  # bytes: S3 rejects a request with a longer key as malformed


def images_named(body: str) -> list[ImageRef]:
    """The objects that a message's body names, without a version.

    The message may be S3's own, S3's through SNS, or EventBridge's. S3 and most servers quote keys
    as in a query string, EventBridge does not. For servers other than S3 both readings of a key are
    returned. Raises ValueError for any other body.
    """
    try:
        message = _mapping(json.loads(body))
        if message.get("Type") == "Notification" and "Message" in message:
            message = _mapping(json.loads(message["Message"]))
        return _refs_in(message)
    except (TypeError, KeyError, RecursionError, ValueError) as exc:
        raise ValueError(f"expected an S3 event notification, got {body[:200]!r}") from exc


def _refs_in(message: Mapping[str, Any]) -> list[ImageRef]:
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
    # JSON may hold half a surrogate pair, which `encode` refuses with a ValueError.
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"expected a key of at most {_LONGEST_KEY} bytes")
    return ImageRef("s3", bucket, key, version="", size_bytes=0)
