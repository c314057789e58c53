"""Reads the pages of an S3 listing, as careful as servers are careless with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from schemas.errors import (
    ObjectArchivedError,
    ObjectGoneError,
    StoreAccessError,
    StoreUnavailableError,
)
from schemas.options import StoreOptions
from workers.stores.object_version import etag_version, time_version
from workers.stores.s3_client import (
    client_for,
    for_first_request,
    payer,
    raising_answer_errors,
    retry,
)

_HEADS_AT_ONCE = 16
# Of S3, and of servers that call theirs otherwise; GLACIER_IR is read like any other.
_ARCHIVES = frozenset(
    {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE", "COLD_ARCHIVE", "COLDARCHIVE", "DEEPCOLDARCHIVE"}
)
# At least one of these is in every listing, also an empty one.
_SIGNS = ("IsTruncated", "Contents", "Name", "KeyCount", "MaxKeys")


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
    """The objects of a bucket whose keys begin with `prefix`, page by page.

    Of objects whose version the listing does not tell, each is asked for (HEAD); one that is gone
    by then is left out. Raises StoreAccessError, StoreUnavailableError, UsageError.
    """
    last_key: str | None = None
    for page in _pages(bucket, prefix, options):
        listed = []
        for item in page:
            found = _read_item(item)
            # Some servers name the last key of a page once more, or a key twice.
            if not found.key or found.key != last_key:
                listed.append(found)
            last_key = found.key or last_key
        yield add_versions(bucket, listed, options)


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


def _pages(bucket: str, prefix: str, options: StoreOptions) -> Iterator[list[dict[str, Any]]]:
    uri = f"s3://{bucket}/{prefix}"
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, **payer(options)}
    with raising_answer_errors(uri, options):
        endpoint_url = client_for(options, bucket).meta.endpoint_url
    if ".amazonaws.com" in endpoint_url:
        # Which archived objects have been restored; other servers may refuse the header.
        request["OptionalObjectAttributes"] = ["RestoreStatus"]
    start: dict[str, str] = {}
    first_options = for_first_request(options)
    while True:
        page, following = retry(partial(_page, uri, request, start, options), uri, first_options)
        first_options = options
        yield page.get("Contents", [])
        if following is None:
            return
        start = following


def _page(
    uri: str, request: dict[str, Any], start: dict[str, str], options: StoreOptions
) -> tuple[dict[str, Any], dict[str, str] | None]:
    """One page of the listing, and where the next one starts, None after the last."""
    page = _request_within_limits(uri, {**request, **start}, options)
    keys = [item.get("Key") for item in page.get("Contents", [])]
    following, is_truncated = _next_start(page, keys), page.get("IsTruncated")
    got = ""
    if not any(sign in page for sign in _SIGNS):
        got = "another answer"  # a web page, say: boto3 finds nothing in it
    elif is_truncated and following is None:
        got = "a page that names no other, though it is not the last"
    elif is_truncated and (following == start or start.get("StartAfter") in keys):
        got = "the same page again"  # it would go on for ever
    if got:
        endpoint_url = client_for(options, request["Bucket"]).meta.endpoint_url
        raise StoreUnavailableError(f"expected a listing of {uri} from {endpoint_url}, got {got}")
    return page, None if following == start else following


def _next_start(page: dict[str, Any], keys: list[Any]) -> dict[str, str] | None:
    token, is_truncated = page.get("NextContinuationToken"), page.get("IsTruncated")
    # A token counts also where the flag is missing, or is written as boto3 does not expect it: a
    # listing that ends too early would look as if the rest were gone.
    if token and (is_truncated or keys):
        return {"ContinuationToken": token}
    if is_truncated and keys and isinstance(keys[-1], str) and keys[-1]:
        return {"StartAfter": keys[-1]}
    return None


def _request_within_limits(
    uri: str, request: dict[str, Any], options: StoreOptions
) -> dict[str, Any]:
    # boto3 reads the answer itself, and would wait for ever for one that trickles in.
    answer = Future[dict[str, Any]]()
    longest_s = options.connect_timeout_s + options.max_attempts * options.read_timeout_s

    def request_page() -> None:
        try:
            with raising_answer_errors(uri, options):
                answer.set_result(client_for(options, request["Bucket"]).list_objects_v2(**request))
        except BaseException as exc:
            answer.set_exception(exc)

    threading.Thread(target=request_page, daemon=True).start()
    try:
        return answer.result(longest_s)
    except TimeoutError as exc:
        raise StoreUnavailableError(
            f"expected a listing of {uri} within {longest_s:g} s, got none"
        ) from exc
