"""Tells how a bucket is reached: by whose credentials, in which region, and whether it answers."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.images import split_s3_uri
from schemas.options import StoreOptions
from workers.stores.s3_client import client_for, credentials_for, raising_answer_errors
from workers.stores.s3_pages import PageRequests

_METHODS = {
    "env": "AWS_ variables",
    "shared-credentials-file": "the credentials file",
    "config-file": "the AWS configuration file",
    "iam-role": "the machine's role",
    "container-role": "the container's role",
    "assume-role": "a role that a profile assumes",
    "assume-role-with-web-identity": "a role by web identity",
    "sso": "single sign-on",
    "custom-process": "a program that the profile names",
}
_LIMITS = {
    "connect_timeout_s": 5.0,
    "read_timeout_s": 15.0,
    "max_attempts": 1,
    "retry_budget_s": 0.0,
}
"""Who asks waits, and is told at once what is wrong."""


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How a bucket is reached. `credentials` in words; `region` empty where none is set."""

    credentials: str
    region: str
    endpoint_url: str


def describe_access(source: str, options: StoreOptions) -> BucketAccess:
    """How `s3://bucket/prefix` would be asked; no secret is in it, and the bucket is not asked.

    Raises StoreAccessError, UsageError.
    """
    bucket, _ = split_s3_uri(source)
    with raising_answer_errors(source, options):
        client = client_for(options, bucket)
        return BucketAccess(
            credentials=_describe_credentials(options),
            region=client.meta.region_name or "",
            endpoint_url=client.meta.endpoint_url,
        )


def find_first_key(source: str, options: StoreOptions) -> str | None:
    """The first key below `s3://bucket/prefix`, None if there is none: one request.

    Raises StoreAccessError, StoreUnavailableError, UsageError.
    """
    bucket, prefix = split_s3_uri(source)
    page = PageRequests(bucket, prefix, options.model_copy(update=_LIMITS)).request({}, MaxKeys=1)
    return next((str(item.get("Key", "")) for item in page.items), None)


def _describe_credentials(options: StoreOptions) -> str:
    if options.anonymous:
        return "none, as set"
    found = credentials_for(options)
    return "none were found" if found is None else _METHODS.get(found, found)
