"""Lists and reads images in an S3 bucket, through boto3."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED, exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreUnavailableError,
    TokenExpiredError,
    UsageError,
    one_line,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.backoff import Backoff
from workers.protocols import Skipped
from workers.stores.selection import may_be_listed, reason_to_skip

_T = TypeVar("_T")
_MAX_CONNECTIONS = 64
_making_client = threading.Lock()
_CREDENTIAL_ERRORS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.NoAuthTokenError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    exceptions.LoginError,
)
_REQUEST_ERRORS = (
    exceptions.ParamValidationError,
    exceptions.ValidationError,
    exceptions.InvalidConfigError,
    exceptions.ConfigParseError,
    exceptions.EndpointProviderError,
)
_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
# Refusals that come with other status codes than 400, 401 and 403.
_REFUSALS = frozenset({"NoSuchBucket", "PermanentRedirect"})
# These come with status 400, though the same request may succeed later.
_NOT_NOW = frozenset({"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"})
_FIRST_BUDGET_S = 3.0
# A program renews credentials before they expire; a person is not waited for.
_EXPIRED_BUDGET_S = 20.0
# A slower body counts as stuck: if it trickles, no single read of it ever times out.
_LEAST_BYTES_A_S = 50_000
_PIECE = 1 << 20


def build(source: str, options: StoreOptions) -> S3Store:
    """The store of `s3://bucket/prefix`; the prefix may be empty. Nothing is contacted yet."""
    # Keys are opaque: no URL parser, which would see a query or a fragment in them.
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"expected s3://bucket/prefix, got {source!r}")
    return S3Store(bucket, prefix, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of exactly the listed version (GET with If-Match); see `ObjectStore.read`.

    Retried for `options.retry_budget_s` while the store cannot answer, or its answer breaks off, is
    too slow or is not the object.
    """
    return retry(lambda: _get(ref, options), ref.uri, options)


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """HEAD; see `stores.find`."""
    try:
        return retry(lambda: _head(ref, options), ref.uri, options)
    except ObjectGoneError:
        return None


def retry(action: Callable[[], _T], what: str, options: StoreOptions) -> _T:
    """The result of one request about `what`, retried while the store does not answer."""
    expired = Backoff(min(options.retry_budget_s, _EXPIRED_BUDGET_S), only=TokenExpiredError)
    away = Backoff(options.retry_budget_s, only=StoreUnavailableError)
    return away.retry(lambda: expired.retry(action, what), what)


def for_first_request(options: StoreOptions) -> StoreOptions:
    """The same with a short retry budget: an address that has never answered may be mistyped."""
    budget_s = min(options.retry_budget_s, _FIRST_BUDGET_S)
    return options.model_copy(update={"retry_budget_s": budget_s})


def client_for(options: StoreOptions) -> Any:
    """The boto3 S3 client for these options, one in a process; safe to use from many threads.

    Raises UsageError for an endpoint or a region that cannot be one.
    """
    with _making_client:
        # Which keys are selected makes no difference to the connection.
        return _client(options.model_copy(update={"include": (), "exclude": ()}))


@lru_cache(maxsize=8)
def _client(options: StoreOptions) -> Any:
    session = boto3.Session(profile_name=options.profile)
    try:
        client = session.client("s3", endpoint_url=options.endpoint_url, config=_config(options))
    except ValueError as exc:
        raise UsageError(f"expected an S3 endpoint and region, got: {_reason(exc)}") from exc
    # The endpoint may also come from the profile or the environment, which only the client knows.
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if ".amazonaws.com" in host:
        return client
    # Other servers rarely have a host name for every bucket.
    config = _config(options).merge(Config(s3={"addressing_style": "path"}))
    return session.client("s3", endpoint_url=options.endpoint_url, config=config)


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
        pages = self._pages()
        return self._images(chain([next(pages)], pages), skipped)

    def covers(self, ref: ImageRef) -> bool:
        """See `ObjectStore.covers`."""
        return (
            (ref.store, ref.bucket) == ("s3", self._bucket)
            and ref.key.startswith(self._prefix)
            and may_be_listed(ref.key, self._options)
        )

    def read(self, ref: ImageRef) -> bytes:
        return read(ref, self._options)

    def _pages(self) -> Iterator[list[dict[str, Any]]]:
        uri, options = f"s3://{self._bucket}/{self._prefix}", self._options
        page = retry(lambda: self._page(uri, None), uri, for_first_request(options))
        while True:
            yield page.get("Contents", [])
            token = page.get("NextContinuationToken")
            if token is None:
                return
            page = retry(partial(self._page, uri, token), uri, options)

    def _page(self, uri: str, token: str | None) -> dict[str, Any]:
        """One page of the listing: the first, or the one that follows `token`."""
        request = {"Bucket": self._bucket, "Prefix": self._prefix, **_payer(self._options)}
        if token is not None:
            request["ContinuationToken"] = token
        page = self._request_within_limits(uri, request)
        following = page.get("NextContinuationToken")
        has_more = following not in (None, token)  # the same page again would go on for ever
        # A web page, say, has neither: boto3 finds nothing in it.
        if page.get("IsTruncated") is not has_more:
            raise StoreUnavailableError(
                f"expected a listing of {uri} from "
                f"{client_for(self._options).meta.endpoint_url}, got another answer"
            )
        return page

    def _request_within_limits(self, uri: str, request: dict[str, str]) -> dict[str, Any]:
        # boto3 reads the answer itself, and would wait for ever for one that trickles in.
        options, answer = self._options, Future[dict[str, Any]]()
        longest_s = options.connect_timeout_s + options.max_attempts * options.read_timeout_s

        def request_page() -> None:
            try:
                with raising_store_errors(uri, options):
                    answer.set_result(client_for(options).list_objects_v2(**request))
            except BaseException as exc:
                answer.set_exception(exc)

        threading.Thread(target=request_page, daemon=True).start()
        try:
            return answer.result(longest_s)
        except TimeoutError as exc:
            raise StoreUnavailableError(
                f"expected a listing of {uri} within {longest_s:g} s, got none"
            ) from exc

    def _images(
        self, pages: Iterator[list[dict[str, Any]]], skipped: Skipped
    ) -> Iterator[ImageRef]:
        for item in chain.from_iterable(pages):
            ref = _ref(self._bucket, item["Key"], item["ETag"], item["Size"])
            reason = reason_to_skip(ref.key, ref.size_bytes, self._options)
            if reason is None:
                yield ref
            else:
                skipped(reason, ref.uri)


def _ref(bucket: str, key: str, etag: str, size_bytes: int) -> ImageRef:
    return ImageRef("s3", bucket, key, version=etag.strip('"'), size_bytes=size_bytes)


def _config(options: StoreOptions) -> Config:
    return Config(
        signature_version=UNSIGNED if options.anonymous else None,
        retries={"mode": "standard", "total_max_attempts": options.max_attempts},
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        max_pool_connections=_MAX_CONNECTIONS,
        # Not every S3 server knows the newer checksums; If-Match names the version.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _payer(options: StoreOptions) -> dict[str, str]:
    return {"RequestPayer": "requester"} if options.requester_pays else {}


def _head(ref: ImageRef, options: StoreOptions) -> ImageRef:
    with raising_store_errors(ref.uri, options):
        head = client_for(options).head_object(Bucket=ref.bucket, Key=ref.key, **_payer(options))
    return _ref(ref.bucket, ref.key, head["ETag"], head["ContentLength"])


def _get(ref: ImageRef, options: StoreOptions) -> bytes:
    with raising_store_errors(ref.uri, options):
        response = client_for(options).get_object(
            Bucket=ref.bucket, Key=ref.key, IfMatch=f'"{ref.version}"', **_payer(options)
        )
        with response["Body"] as body:
            data = _read_body(body, ref, options)
    version = response.get("ETag", ref.version).strip('"')
    if version != ref.version:
        raise ObjectChangedError(f"expected version {ref.version}, got {version} ({ref.uri})")
    # Some servers answer 200 with a document about an error. 0: the size is not known.
    length = ref.size_bytes or response["ContentLength"]
    if len(data) != length:
        raise StoreUnavailableError(
            f"expected an object of {length} bytes, got {len(data)} bytes ({ref.uri})"
        )
    return data


def _read_body(stream: Any, ref: ImageRef, options: StoreOptions) -> bytes:
    """All of a response's body; `stream` is urllib3's. Raises StoreUnavailableError."""
    longest_s = options.read_timeout_s + ref.size_bytes / _LEAST_BYTES_A_S
    deadline = time.monotonic() + longest_s
    pieces = []
    try:
        # `read1` returns what has arrived; `read` would wait for all that was requested.
        while piece := stream.read1(_PIECE):
            pieces.append(piece)
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"expected an object within {longest_s:g} s, got only "
                    f"{sum(map(len, pieces))} bytes of it ({ref.uri})"
                )
    except HTTPError as exc:
        raise StoreUnavailableError(
            f"expected all of an object, got: {_reason(exc)} ({ref.uri})"
        ) from exc
    return b"".join(pieces)


@contextmanager
def raising_store_errors(uri: str, options: StoreOptions) -> Iterator[None]:
    """Raise boto3's errors in the block as StoreError or UsageError about `uri`."""
    try:
        yield
    except exceptions.ClientError as exc:
        raise _response_error(exc, uri) from exc
    except _CREDENTIAL_ERRORS as exc:
        raise StoreAccessError(f"expected credentials for {uri}, got: {_reason(exc)}") from exc
    except _REQUEST_ERRORS as exc:
        raise UsageError(f"expected a valid request for {uri}, got: {_reason(exc)}") from exc
    except RecursionError as exc:  # boto3 follows a redirect by a request within the request
        where = options.endpoint_url or "the S3 endpoint"
        raise StoreUnavailableError(
            f"expected {where} to answer for {uri}, got one redirect after another"
        ) from exc
    except (exceptions.BotoCoreError, ResponseParserError) as exc:
        where = options.endpoint_url or "the S3 endpoint"
        raise StoreUnavailableError(
            f"expected {where} to answer for {uri}, got: {_reason(exc)}"
        ) from exc


def _response_error(exc: exceptions.ClientError, uri: str) -> ObjseekError:
    code = exc.response["Error"].get("Code", "")
    status = exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    message = exc.response["Error"].get("Message") or code
    got = f"HTTP {status} {code}: {_reason(message)} ({uri})"
    if code in _EXPIRED:
        # The next client reads the credentials again.
        _client.cache_clear()
        return TokenExpiredError(f"expected credentials that are valid now, got {got}")
    if code in _REFUSALS or (status in (400, 401, 403) and code not in _NOT_NOW):
        return StoreAccessError(f"expected access to the bucket and its objects, got {got}")
    is_object = exc.operation_name in ("GetObject", "HeadObject")
    if status == 404 and is_object:
        return ObjectGoneError(f"expected a listed object, got {got}")
    if status == 412 and is_object:
        return ObjectChangedError(f"expected the listed version of an object, got {got}")
    return StoreUnavailableError(f"expected an answer from the store, got {got}")


def _reason(error: Exception | str) -> str:
    return one_line(error).rstrip(".")
