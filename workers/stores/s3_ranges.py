"""Reads parts of S3 objects: GETs of ranges, each of the listed version."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError

from schemas.errors import ObjectChangedError, StoreError, StoreUnavailableError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores.s3 import check_version, read_body, request_version
from workers.stores.s3_client import raising_answer_errors, retry

_PARTIAL, _NO_SUCH_RANGE = 206, 416
# RFC 9110, 14.4; the size may be `*`.
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def read_range(
    ref: ImageRef, start: int, length: int, options: StoreOptions
) -> tuple[bytes, int | None]:
    """Up to `length` bytes from `start` on, and the object's size; a GET with Range and If-Match.

    Fewer bytes at the end of the object only; none for a start beyond it, then the size is not
    known. Retried as `s3.read` is. Raises ObjectGoneError, ObjectChangedError, StoreAccessError,
    StoreUnavailableError, and StoreError where the server does not know ranges.
    """
    return retry(lambda: _get_range(ref, start, length, options), ref.uri, options)


def _get_range(
    ref: ImageRef, start: int, length: int, options: StoreOptions
) -> tuple[bytes, int | None]:
    named = f"bytes={start}-{start + length - 1}"
    with raising_answer_errors(ref.uri, options):
        try:
            response, matched = request_version(ref, options, Range=named)
        except ClientError as exc:
            if _status(exc.response) != _NO_SUCH_RANGE:
                raise
            if start < ref.size_bytes:
                raise ObjectChangedError(
                    f"expected an object of {ref.size_bytes} bytes, got a smaller one ({ref.uri})"
                ) from exc
            return b"", None
        with response["Body"] as body:
            size = _find_size(response, ref, start, length)
            check_version(ref, response, size, matched=matched)
            data = read_body(body, length, ref.uri, options)
    expected = length if size is None else min(length, size - start)
    if len(data) != expected:
        raise StoreUnavailableError(
            f"expected {expected} bytes of an object, got {len(data)} bytes ({ref.uri})"
        )
    return data, size


def _find_size(response: dict[str, Any], ref: ImageRef, start: int, length: int) -> int | None:
    """The size of an object of which a part came. Raises StoreError if it is another part."""
    whole = response.get("ContentLength")
    if _status(response) != _PARTIAL:
        if start == 0 and whole is not None and whole <= length:
            return int(whole)  # all of it is what was wanted
        raise StoreError(
            f"expected a part of an object, got all of it from a server that knows no ranges "
            f"({ref.uri})"
        )
    told = _CONTENT_RANGE.fullmatch(response.get("ContentRange") or "")
    if told is None or int(told[1]) != start:
        raise StoreUnavailableError(
            f"expected the bytes of an object from {start} on, got "
            f"{response.get('ContentRange') or 'a part without a range'} ({ref.uri})"
        )
    return None if told[3] == "*" else int(told[3])


def _status(response: dict[str, Any]) -> int:
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0))
