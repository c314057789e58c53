"""Reaches the place of a Lance table, and tells whether two writers are safe there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import boto3

from schemas.errors import IndexUnavailableError, StoreError
from schemas.images import split_s3_uri
from schemas.options import IndexOptions, StoreOptions
from workers.indexes.location import LANCE_TABLE, is_bucket_table, lance_place
from workers.stores.s3_client import client_for
from workers.stores.s3_prefix import S3Prefix

_PROBE = "objseek-probe-"
# Lance makes a request that fails up to six times, each with retries; and so does who calls it.
_REQUESTS_A_BUDGET = 12
_MOST_RETRIES = 20


def store_options(options: IndexOptions) -> StoreOptions:
    """How the bucket of a table is reached through boto3."""
    return StoreOptions(
        endpoint_url=options.endpoint_url,
        profile=options.profile,
        retry_budget_s=options.retry_budget_s,
        read_timeout_s=options.timeout_s,
    )


def storage_options(options: IndexOptions) -> dict[str, str]:
    """The same for Lance: endpoint, region and credentials as boto3 finds them.

    Credentials that expire are found anew by Lance itself, unless a profile is named.
    """
    if not is_bucket_table(options.location):
        return {}
    client = client_for(store_options(options))
    endpoint = client.meta.endpoint_url
    found = {
        "aws_region": client.meta.region_name or "us-east-1",
        "timeout": f"{options.timeout_s:g}s",
        "client_max_retries": f"{min(_MOST_RETRIES, int(options.retry_budget_s))}",
        "client_retry_timeout": f"{max(1, int(options.retry_budget_s / _REQUESTS_A_BUDGET))}",
    }
    if options.endpoint_url or ".amazonaws.com" not in endpoint:
        # By this name: what the environment has by it would count for more than any other.
        found["aws_endpoint_url_s3"] = endpoint
        found["allow_http"] = str(endpoint.startswith("http://")).lower()
    credentials = boto3.Session(profile_name=options.profile).get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        if options.profile or not frozen.token:
            found["aws_access_key_id"] = frozen.access_key
            found["aws_secret_access_key"] = frozen.secret_key
            if frozen.token:
                found["aws_session_token"] = frozen.token
    return found


def table_uri(location: str) -> str:
    """The table of a Lance index as Lance is to have it: keys of a bucket are parts of a URL."""
    place = lance_place(location)
    if place.startswith("s3://"):
        bucket, prefix = split_s3_uri(place)
        place = f"s3://{bucket}/{quote(prefix)}".rstrip("/")
    return f"{place}/{LANCE_TABLE}"


def require_safe_commits(options: IndexOptions) -> None:
    """Raise IndexUnavailableError where two writers would lose what the other has written.

    A commit creates a file that must not be there yet. A store that does not look, as some S3
    servers do, would tell both writers that theirs is the one.
    """
    place = lance_place(options.location)
    safe = (
        _creates_once(options, place)
        if is_bucket_table(options.location)
        else _links_once(Path(place))
    )
    if not safe:
        raise IndexUnavailableError(
            f"expected a place where a file can be created only if it is not there yet, {place} is "
            "none: two writers of a Lance index would lose each other's points. Buckets of some S3 "
            "servers, or with versions, are like that, and file systems without links"
        )


def _creates_once(options: IndexOptions, place: str) -> bool:
    objects, probe = S3Prefix(place, store_options(options)), f"{_PROBE}{uuid.uuid4().hex}"
    with raising_index_errors(options.location):
        try:
            # Not the first one alone: its answer may be lost, and it is sent again.
            return not (objects.create(probe, b"1") and objects.create(probe, b"2"))
        finally:
            with suppress(StoreError):
                objects.remove([probe])


def _links_once(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{_PROBE}{uuid.uuid4().hex}"
        linked = probe.with_suffix(".linked")
        probe.touch()
    except OSError as exc:
        raise IndexUnavailableError(
            f"the index folder {folder} cannot be used: {exc.strerror or exc}"
        ) from exc
    try:
        os.link(probe, linked)
        try:
            os.link(probe, linked)
        except FileExistsError:
            return True
        return False
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
        linked.unlink(missing_ok=True)


@contextmanager
def raising_index_errors(location: str) -> Iterator[None]:
    """Raise what a bucket refuses as an error of the index."""
    try:
        yield
    except StoreError as exc:
        raise IndexUnavailableError(f"the index {location} cannot be reached: {exc}") from exc
