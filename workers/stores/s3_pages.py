"""Requests pages of an S3 listing, and tells those that make sense from those that do not."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from schemas.errors import StoreUnavailableError
from schemas.options import StoreOptions
from workers.stores.s3_client import (
    client_for,
    for_first_request,
    payer,
    raising_answer_errors,
    retry,
)

Start = dict[str, str]
"""Where a page begins, as parameters of boto3's `list_objects_v2`; empty: at the first key."""
# At least one of these is in every listing, also an empty one.
_SIGNS = ("IsTruncated", "Contents", "Name", "KeyCount", "MaxKeys")


@dataclass(frozen=True, slots=True)
class Page:
    """`items` as boto3 gives them; `prefixes` of a page by folders; `following` None: the last."""

    items: list[dict[str, Any]]
    prefixes: list[str]
    following: Start | None


class PageRequests:
    """Requests pages of the keys of a bucket that begin with `prefix`; for many threads.

    Raises StoreAccessError, StoreUnavailableError, UsageError.
    """

    def __init__(self, bucket: str, prefix: str, options: StoreOptions) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._options = options
        self._retry_options = for_first_request(options)
        self._request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, **payer(options)}
        uri = f"s3://{bucket}/{prefix}"
        with raising_answer_errors(uri, options):
            endpoint_url = client_for(options, bucket).meta.endpoint_url
        if ".amazonaws.com" in endpoint_url:
            # Which archived objects have been restored; other servers may refuse the header.
            self._request["OptionalObjectAttributes"] = ["RestoreStatus"]

    def request(self, start: Start, **more: Any) -> Page:
        """The page that begins at `start`; `more` are other parameters of boto3."""
        request = {**self._request, **more}
        uri = f"s3://{self.bucket}/{request['Prefix']}"
        page = retry(partial(_page, uri, request, start, self._options), uri, self._retry_options)
        self._retry_options = self._options
        return page


def _page(uri: str, request: dict[str, Any], start: Start, options: StoreOptions) -> Page:
    page = _request_within_limits(uri, {**request, **start}, options)
    items = page.get("Contents", [])
    keys = [item.get("Key") for item in items]
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
    prefixes = [entry.get("Prefix") or "" for entry in page.get("CommonPrefixes", [])]
    return Page(items, prefixes, None if following == start else following)


def _next_start(page: dict[str, Any], keys: list[Any]) -> Start | None:
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
