"""Lists and reads images in an S3 bucket, through boto3."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    StoreUnavailableError,
    UsageError,
    one_line,
)
from schemas.images import ImageRef, split_s3_uri
from schemas.options import StoreOptions
from workers.protocols import Skipped
from workers.stores.object_version import etag_version, is_by_time, may_be_same, time_version
from workers.stores.s3_client import client_for, payer, raising_answer_errors, retry
from workers.stores.s3_listing import ListedObject, head_object, list_objects
from workers.stores.selection import ARCHIVED, UNNAMED, may_be_listed, reason_to_skip

_log = logging.getLogger(__name__)
# A slower body counts as stuck: if it trickles, no single read of it ever times out.
_LEAST_BYTES_A_S = 50_000
_PIECE = 1 << 20
_NOT_THE_VERSION, _NOT_IMPLEMENTED = 412, 501
# Buckets of whose objects a listing has told no ETag, as (endpoint, bucket).
_without_etags: set[tuple[str | None, str]] = set()


def build(source: str, options: StoreOptions) -> S3Store:
    """The store of `s3://bucket/prefix`; the prefix may be empty. Nothing is contacted yet.

    The bucket may also be the ARN of an access point.
    """
    bucket, prefix = split_s3_uri(source)
    if not bucket:
        raise UsageError(f"expected s3://bucket/prefix, got {source!r}")
    return S3Store(bucket, prefix, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of exactly the listed version (GET with If-Match); see `ObjectStore.read`.

    A version by time and size is held against the answer's, also in whole seconds. Retried for
    `options.retry_budget_s` while the store cannot answer, or its answer breaks off, is too slow or
    is not the object.
    """
    return retry(lambda: _get(ref, options), ref.uri, options)


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """HEAD; see `stores.find`."""
    try:
        return retry(lambda: _head(ref, options), ref.uri, options)
    except ObjectGoneError:
        return None


class S3Store:
    """Lists the keys of a bucket that begin with a prefix, in the order of the server."""

    def __init__(self, bucket: str, prefix: str, options: StoreOptions) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._options = options

    def list_images(self, skipped: Skipped) -> Iterator[ImageRef]:
        """Streamed, page by page; see `ObjectStore.list_images`.

        The first page is requested at once, so that StoreAccessError, StoreUnavailableError or
        UsageError are raised before anything is done with another source.
        """
        pages = list_objects(self._bucket, self._prefix, self._options)
        pages = chain([next(pages)], pages)
        return choose_images(self._bucket, pages, self._options, skipped)

    def covers(self, ref: ImageRef) -> bool:
        """See `ObjectStore.covers`."""
        return (
            (ref.store, ref.bucket) == ("s3", self._bucket)
            and ref.key.startswith(self._prefix)
            and may_be_listed(ref.key, self._options)
        )

    def read(self, ref: ImageRef) -> bytes:
        return read(ref, self._options)


def choose_images(
    bucket: str, pages: Iterator[list[ListedObject]], options: StoreOptions, skipped: Skipped
) -> Iterator[ImageRef]:
    """The images among the objects of a bucket that were listed; the others are `skipped`."""
    for listed in chain.from_iterable(pages):
        ref = ImageRef("s3", bucket, listed.key, listed.version, listed.size_bytes or 0)
        reason = reason_to_skip(listed.key, listed.size_bytes, options)
        if not listed.key:
            reason = UNNAMED
        elif reason is None and listed.is_archived:
            reason = ARCHIVED
        if reason is not None:
            skipped(reason, ref.uri)
            continue
        if not listed.has_etag:
            _note_missing_etags(bucket, options)
        yield ref


def _note_missing_etags(bucket: str, options: StoreOptions) -> None:
    place = (options.endpoint_url, bucket)
    if place not in _without_etags:
        _without_etags.add(place)
        _log.warning(
            "expected an ETag of each object, s3://%s lists some without: a change of these "
            "shows by their time and size only",
            bucket,
        )


def _head(ref: ImageRef, options: StoreOptions) -> ImageRef:
    head = head_object(ref.bucket, ref.key, ref.uri, options)
    size = head.get("ContentLength")
    size = _measure(ref, options) if size is None else size
    # In the form in which listings tell the version, or every image would seem changed.
    by_time = is_by_time(ref.version) or (
        not ref.version and (options.endpoint_url, ref.bucket) in _without_etags
    )
    version = "" if by_time else etag_version(head.get("ETag"))
    version = version or time_version(head.get("LastModified"), size)
    return ImageRef("s3", ref.bucket, ref.key, version, size)


def _measure(ref: ImageRef, options: StoreOptions) -> int:
    """The size of an object of which a HEAD does not tell it."""
    with raising_answer_errors(ref.uri, options):
        response = client_for(options, ref.bucket).get_object(
            Bucket=ref.bucket, Key=ref.key, **payer(options)
        )
        with response["Body"] as body:
            return len(read_body(body, ref.size_bytes, ref.uri, options))


def _get(ref: ImageRef, options: StoreOptions) -> bytes:
    with raising_answer_errors(ref.uri, options):
        response, matched = request_version(ref, options)
        with response["Body"] as body:
            check_version(ref, response, response.get("ContentLength"), matched=matched)
            data = read_body(body, ref.size_bytes, ref.uri, options)
    # Some servers answer 200 with a document about an error. 0: the size is not known.
    length = ref.size_bytes or response.get("ContentLength")
    if length is not None and len(data) != length:
        raise StoreUnavailableError(
            f"expected an object of {length} bytes, got {len(data)} bytes ({ref.uri})"
        )
    return data


def request_version(
    ref: ImageRef, options: StoreOptions, **more: str
) -> tuple[dict[str, Any], bool]:
    """The answer to a GET, and whether the server itself has compared the version.

    `more` are other parameters of boto3's `get_object`. Raises boto3's errors.
    """
    client = client_for(options, ref.bucket)
    request = {"Bucket": ref.bucket, "Key": ref.key, **payer(options), **more}
    if ref.version and not is_by_time(ref.version):
        try:
            return client.get_object(IfMatch=f'"{ref.version}"', **request), True
        except ClientError as exc:
            # A weak ETag, or one that a proxy has rewritten, matches nothing; and not every server
            # knows the header. The answer's own ETag tells then.
            status = exc.response["ResponseMetadata"].get("HTTPStatusCode")
            if status not in (_NOT_THE_VERSION, _NOT_IMPLEMENTED):
                raise
    return client.get_object(**request), False


def check_version(
    ref: ImageRef, response: dict[str, Any], size_bytes: int | None, *, matched: bool
) -> None:
    """Raise ObjectChangedError unless the answer is of the listed version.

    `size_bytes` is that of the object, as far as the answer tells it.
    """
    if not ref.version:  # an import did not know it
        return
    if is_by_time(ref.version):
        got = time_version(response.get("LastModified"), size_bytes)
        is_same = may_be_same(ref.version, got)
    else:
        got = etag_version(response.get("ETag"))
        is_same = got == ref.version or (matched and not got)
    if not is_same:
        raise ObjectChangedError(
            f"expected version {ref.version}, got {got or 'one without ETag'} ({ref.uri})"
        )


def read_body(stream: Any, size_bytes: int, uri: str, options: StoreOptions) -> bytes:
    """All of a response's body, of about `size_bytes`; `stream` is urllib3's.

    Raises StoreUnavailableError.
    """
    longest_s = options.read_timeout_s + size_bytes / _LEAST_BYTES_A_S
    deadline = time.monotonic() + longest_s
    pieces = []
    try:
        # `read1` returns what has arrived; `read` would wait for all that was requested.
        while piece := stream.read1(_PIECE):
            pieces.append(piece)
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"expected an object within {longest_s:g} s, got only "
                    f"{sum(map(len, pieces))} bytes of it ({uri})"
                )
    except HTTPError as exc:
        raise StoreUnavailableError(
            f"expected all of an object, got: {one_line(exc).rstrip('.')} ({uri})"
        ) from exc
    return b"".join(pieces)
