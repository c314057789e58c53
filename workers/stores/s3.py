"""Images in a bucket, through boto3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED, exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from schemas.errors import (
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreUnavailableError,
    UsageError,
)
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.protocols import Skipped
from workers.stores import may_be_listed, reason_to_skip

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
_BROKEN_BODY = (
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    exceptions.ReadTimeoutError,
)
# Refusals that come with other status codes than 401 and 403.
_REFUSALS = frozenset(
    {"NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed"}
    | {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)


def build(source: str, options: StoreOptions) -> S3Store:
    """The store of `s3://bucket/prefix`; the prefix may be empty. Nothing is contacted yet."""
    # Keys are opaque: no URL parser, which would see a query or a fragment in them.
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"expected s3://bucket/prefix, got {source!r}")
    return S3Store(bucket, prefix, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of exactly the listed version (GET with If-Match); see `ObjectStore.read`.

    A body that breaks off is asked for again, up to `options.max_attempts` times in all.
    """
    with _mapped(ref.uri, options):
        client = client_for(options)
        for attempt in range(1, options.max_attempts + 1):
            try:
                return _get(client, ref, options)
            except _BROKEN_BODY:
                if attempt == options.max_attempts:
                    raise
    raise AssertionError("max_attempts is at least 1")


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """HEAD; see `stores.find`."""
    try:
        with _mapped(ref.uri, options):
            head = client_for(options).head_object(
                Bucket=ref.bucket, Key=ref.key, **_payer(options)
            )
    except ObjectGoneError:
        return None
    return _ref(ref.bucket, ref.key, head["ETag"], head["ContentLength"])


def client_for(options: StoreOptions) -> Any:
    """The boto3 S3 client for these options, one in a process; safe to use from many threads.

    Raises UsageError for an endpoint or a region that cannot be one.
    """
    with _making_client:
        # What is selected makes no other connection.
        return _client(options.model_copy(update={"include": (), "exclude": ()}))


@lru_cache(maxsize=8)
def _client(options: StoreOptions) -> Any:
    session = boto3.Session(profile_name=options.profile)
    try:
        client = session.client("s3", endpoint_url=options.endpoint_url, config=_config(options))
    except ValueError as exc:
        raise UsageError(f"expected an S3 endpoint and region, got: {_sentence(exc)}") from exc
    # The endpoint may also come from the profile or the environment, which only the client knows.
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if ".amazonaws.com" in host:
        return client
    # Other servers seldom have a host name for every bucket.
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

        The first page is asked for at once, so that StoreAccessError, StoreUnavailableError or
        UsageError come before anything is done with another source.
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
        with _mapped(f"s3://{self._bucket}/{self._prefix}", self._options):
            paginator = client_for(self._options).get_paginator("list_objects_v2")
            request = {"Bucket": self._bucket, "Prefix": self._prefix, **_payer(self._options)}
            for page in paginator.paginate(**request):
                if "IsTruncated" not in page:  # a web page, say, in which boto3 finds nothing
                    raise StoreUnavailableError(
                        f"expected a listing of s3://{self._bucket}/{self._prefix} from "
                        f"{client_for(self._options).meta.endpoint_url}, got an answer that is none"
                    )
                yield page.get("Contents", [])

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
        # Not every S3 server knows the newer checksums; If-Match says which bytes are meant.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _payer(options: StoreOptions) -> dict[str, str]:
    return {"RequestPayer": "requester"} if options.requester_pays else {}


def _get(client: Any, ref: ImageRef, options: StoreOptions) -> bytes:
    response = client.get_object(
        Bucket=ref.bucket, Key=ref.key, IfMatch=f'"{ref.version}"', **_payer(options)
    )
    with closing(response["Body"]) as body:
        data: bytes = body.read()
    return data


@contextmanager
def _mapped(uri: str, options: StoreOptions) -> Iterator[None]:
    """What boto3 raises, as one of our errors about `uri`."""
    try:
        yield
    except exceptions.ClientError as exc:
        raise _from_response(exc, uri) from exc
    except _CREDENTIAL_ERRORS as exc:
        raise StoreAccessError(f"expected credentials for {uri}, got: {_sentence(exc)}") from exc
    except _REQUEST_ERRORS as exc:
        raise UsageError(f"expected a valid request for {uri}, got: {_sentence(exc)}") from exc
    except RecursionError as exc:  # boto3 follows a redirect by asking again
        where = options.endpoint_url or "the S3 endpoint"
        raise StoreUnavailableError(
            f"expected {where} to answer for {uri}, got one redirect after another"
        ) from exc
    except (exceptions.BotoCoreError, ResponseParserError) as exc:
        where = options.endpoint_url or "the S3 endpoint"
        raise StoreUnavailableError(
            f"expected {where} to answer for {uri}, got: {_sentence(exc)}"
        ) from exc


def _from_response(exc: exceptions.ClientError, uri: str) -> ObjseekError:
    code = exc.response["Error"].get("Code", "")
    status = exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    message = exc.response["Error"].get("Message") or code
    got = f"HTTP {status} {code}: {_sentence(message)} ({uri})"
    if code in _REFUSALS or status in (401, 403):
        return StoreAccessError(f"expected access to the bucket and its objects, got {got}")
    of_object = exc.operation_name in ("GetObject", "HeadObject")
    if status == 404 and of_object:
        return ObjectGoneError(f"expected a listed object, got {got}")
    if status == 412 and of_object:
        return ObjectChangedError(f"expected the listed version of an object, got {got}")
    return StoreUnavailableError(f"expected an answer from the store, got {got}")


def _sentence(what: object) -> str:
    return " ".join(str(what).split()).rstrip(".")
