"""Connects to S3 through boto3: clients, retries, and what boto3's errors mean."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED, exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp

from schemas.errors import (
    ObjectArchivedError,
    ObjectChangedError,
    ObjectGoneError,
    ObjseekError,
    StoreAccessError,
    StoreUnavailableError,
    TokenExpiredError,
    UsageError,
    one_line,
)
from schemas.options import StoreOptions
from schemas.selection_options import SelectionOptions
from workers.backoff import Backoff, tell_retry

_T = TypeVar("_T")
_KIND = "store"  # of what is tried again
_MAX_CONNECTIONS = 64
_UNSELECTED = SelectionOptions().model_dump()
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
_ARCHIVED = "InvalidObjectState"
# A number that is empty, negative or no whole one.
_BROKEN_NUMBER = re.compile(
    rb"<(Size|KeyCount|MaxKeys)(?:\s*/>|\s*>(?!\s*\d{1,18}\s*</)[^<]*</\1\s*>)"
)
_FIRST_BUDGET_S = 3.0
# A program renews credentials before they expire; a person is not waited for.
_EXPIRED_BUDGET_S = 20.0


def retry(action: Callable[[], _T], what: str, options: StoreOptions) -> _T:
    """The result of one request about `what`, retried while the store does not answer."""
    budget_s = options.retry_budget_s
    expired = Backoff(min(budget_s, _EXPIRED_BUDGET_S), only=TokenExpiredError, kind="credentials")
    away = Backoff(budget_s, only=StoreUnavailableError, kind=_KIND)
    return away.retry(lambda: expired.retry(action, what), what)


def for_first_request(options: StoreOptions) -> StoreOptions:
    """The same with a short retry budget: an address that has never answered may be mistyped."""
    budget_s = min(options.retry_budget_s, _FIRST_BUDGET_S)
    return options.model_copy(update={"retry_budget_s": budget_s})


def client_for(options: StoreOptions, bucket: str = "") -> Any:
    """The boto3 S3 client for these options, one in a process; safe to use from many threads.

    `bucket` matters where it is the ARN of an access point, which is always part of the host's
    name. Raises UsageError for an endpoint or a region that cannot be one.
    """
    with _making_client:
        # Which keys are selected makes no difference to the connection.
        selected = options.model_copy(update=_UNSELECTED)
        return _client(selected, bucket.startswith("arn:"))


def credentials_for(options: StoreOptions) -> str | None:
    """Where boto3 finds credentials, by botocore's name of that place; None if it finds none."""
    found = _session(options).get_credentials()
    return None if found is None else str(found.method)


@lru_cache(maxsize=8)
def _client(options: StoreOptions, for_access_points: bool) -> Any:
    session = _session(options)
    try:
        client = session.client("s3", endpoint_url=options.endpoint_url, config=_config(options))
    except ValueError as exc:
        raise UsageError(f"expected an S3 endpoint and region, got: {_reason(exc)}") from exc
    # The endpoint may also come from the profile or the environment, which only the client knows.
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if ".amazonaws.com" not in host and not for_access_points:
        # Other servers rarely have a host name for every bucket.
        config = _config(options).merge(Config(s3={"addressing_style": "path"}))
        client = session.client("s3", endpoint_url=options.endpoint_url, config=config)
    client.meta.events.register("before-parse.s3.ListObjectsV2", _drop_broken_numbers)
    client.meta.events.register("after-call.s3", _tell_retries)
    return client


def _session(options: StoreOptions) -> boto3.Session:
    session = botocore.session.Session()
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_parse_time)
    return boto3.Session(profile_name=options.profile, botocore_session=session)


def _parse_time(value: Any) -> Any:
    """A time of an answer; None for what is none, on which boto3 would refuse the whole answer."""
    try:
        return parse_timestamp(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _drop_broken_numbers(response_dict: dict[str, Any], **_: Any) -> None:
    """Take numbers that are none out of a listing, on which boto3 would refuse all of it."""
    body = response_dict.get("body")
    if isinstance(body, bytes):
        response_dict["body"] = _BROKEN_NUMBER.sub(b"", body)


def _tell_retries(parsed: dict[str, Any], **_: Any) -> None:
    """Count what boto3 itself has sent again before this answer."""
    for _number in range(parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0)):
        tell_retry(_KIND)


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


def payer(options: StoreOptions) -> dict[str, str]:
    """What a request has to say of who pays for it."""
    return {"RequestPayer": "requester"} if options.requester_pays else {}


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


@contextmanager
def raising_answer_errors(uri: str, options: StoreOptions) -> Iterator[None]:
    """The same, and a StoreUnavailableError for an answer of which boto3 makes no sense."""
    try:
        with raising_store_errors(uri, options):
            yield
    except (ValueError, TypeError, KeyError) as exc:
        where = options.endpoint_url or "the S3 endpoint"
        raise StoreUnavailableError(
            f"expected {where} to answer for {uri} as S3 does, got: {_reason(exc)}"
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
    if code == _ARCHIVED:
        return ObjectArchivedError(
            f"expected an object that can be read, it is archived: restore it, then `objseek retry "
            f"--only rejected`; got {got}"
        )
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
