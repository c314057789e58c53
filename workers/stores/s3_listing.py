"""Reads what an S3 listing tells of objects, as careful as servers are careless with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from schemas.errors import (
    ObjectArchivedError,
    ObjectGoneError,
    StoreAccessError,
)
from schemas.options import StoreOptions
from workers.stores.object_version import etag_version, time_version
from workers.stores.s3_client import client_for, payer, raising_answer_errors, retry
from workers.stores.s3_pages import PageRequests
from workers.stores.s3_walk import KeyWalk

_HEADS_AT_ONCE = 16
# Of S3, and of servers that call theirs otherwise; GLACIER_IR is read like any other.
_ARCHIVES = frozenset(
    {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE", "COLD_ARCHIVE", "COLDARCHIVE", "DEEPCOLDARCHIVE"}
)
# Directory buckets, which list in an order of their own.
_UNORDERED = "--x-s3"


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as it was listed. `key` is empty, `size_bytes` None where nothing was said.

    `version` is empty where the listing has too little to tell versions apart; `has_etag` says
    whether it is the ETag.
    """

    key: str
    version: str
    has_etag: bool
    size_bytes: int | None
    is_archived: bool


def list_objects(bucket: str, prefix: str, options: StoreOptions) -> Iterator[list[ListedObject]]:
    """The objects of a bucket whose keys begin with `prefix`, page by page, in their order.

    Of `options.key_range` only its pages are requested. Where there are folders, up to
    `options.list_threads` pages are requested at a time.

    Of objects whose version the listing does not tell, each is asked for (HEAD); one that is gone
    by then is left out. Raises StoreAccessError, StoreUnavailableError, UsageError.
    """
    last_key: str | None = None
    for page in _read_pages(PageRequests(bucket, prefix, options), options):
        listed = []
        for item in page:
            found = _read_item(item)
            # Some servers name the last key of a page once more, or a key twice.
            if not found.key or found.key != last_key:
                listed.append(found)
            last_key = found.key or last_key
        yield add_versions(bucket, listed, options)


def _read_pages(requests: PageRequests, options: StoreOptions) -> Iterator[list[dict[str, Any]]]:
    """The pages that may have keys of the chosen range; others may be in them."""
    if requests.bucket.endswith(_UNORDERED):
        yield from KeyWalk(requests, threads=1).walk()
        return
    chosen, walk = options.chosen_keys, KeyWalk(requests, options.list_threads)
    if chosen is None or chosen.first <= requests.prefix:
        yield from walk.walk(None, chosen.end if chosen else None)
        return
    if chosen.first.startswith(requests.prefix):
        # Where S3 is to start it leaves out that key itself.
        page = requests.request({}, Prefix=chosen.first, MaxKeys=1)
        yield [item for item in page.items if item.get("Key") == chosen.first]
    yield from walk.walk(chosen.first, chosen.end)


def head_object(bucket: str, key: str, uri: str, options: StoreOptions) -> dict[str, Any]:
    """The answer to a HEAD. Raises ObjectGoneError, StoreAccessError, StoreUnavailableError."""
    with raising_answer_errors(uri, options):
        head: dict[str, Any] = client_for(options, bucket).head_object(
            Bucket=bucket, Key=key, **payer(options)
        )
    return head


def _read_item(item: dict[str, Any]) -> ListedObject:
    key, size, etag = item.get("Key"), item.get("Size"), etag_version(item.get("ETag"))
    known = size if isinstance(size, int) and size >= 0 else None
    version, modified = etag, item.get("LastModified")
    if not etag and known is not None and isinstance(modified, datetime):
        version = time_version(modified, known)
    return ListedObject(
        key=key if isinstance(key, str) else "",
        version=version,
        has_etag=bool(etag),
        size_bytes=known,
        is_archived=_is_archived(item),
    )


def is_archive(storage_class: str) -> bool:
    """Whether objects of this class have to be restored before they can be read."""
    return storage_class.upper().replace("-", "_") in _ARCHIVES


def _is_archived(item: dict[str, Any]) -> bool:
    """Whether it has to be restored before it can be read."""
    if not is_archive(str(item.get("StorageClass", ""))):
        return False
    restored = item.get("RestoreStatus") or {}
    expires = restored.get("RestoreExpiryDate")
    is_there = isinstance(expires, datetime) and expires.astimezone(UTC) > datetime.now(UTC)
    return not (is_there and not restored.get("IsRestoreInProgress"))


def add_versions(
    bucket: str,
    listed: list[ListedObject],
    options: StoreOptions,
    needed: Callable[[ListedObject], bool] = lambda found: True,
) -> list[ListedObject]:
    """The same with the versions of those of which they are `needed`; what is gone is left out."""

    def complete(found: ListedObject) -> ListedObject | None:
        if found.version or not found.key or found.is_archived or not needed(found):
            return found
        return _complete(bucket, options, found)

    if all(found.version or not found.key or found.is_archived for found in listed):
        return listed
    with ThreadPoolExecutor(_HEADS_AT_ONCE) as pool:
        return [found for found in pool.map(complete, listed) if found is not None]


def _complete(bucket: str, options: StoreOptions, found: ListedObject) -> ListedObject | None:
    """The same with its version; None if it is gone."""
    uri = f"s3://{bucket}/{found.key}"
    try:
        head = retry(lambda: head_object(bucket, found.key, uri, options), uri, options)
    except ObjectGoneError:
        return None
    except ObjectArchivedError:
        return replace(found, is_archived=True)
    except StoreAccessError:
        # Whoever reads it is told; the listing goes on.
        return replace(found, version=time_version(None, found.size_bytes))
    etag = etag_version(head.get("ETag"))
    size = found.size_bytes if found.size_bytes is not None else head.get("ContentLength")
    version = etag or time_version(head.get("LastModified"), size)
    return replace(found, version=version, has_etag=bool(etag), size_bytes=size)
