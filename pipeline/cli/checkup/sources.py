"""Looks at whether sources of images can be reached, and by whose credentials."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checkup.check import Check, failed, passed, warned
from schemas.errors import ObjseekError, StoreAccessError
from schemas.options import StoreOptions
from workers.stores.inventory.source import names_inventory
from workers.stores.open import build_store
from workers.stores.s3_access import describe_access, find_first_key

_ACCESS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a --profile that may list and read, or "
    "--anonymous for a public bucket"
)
_ADDRESS = "compare the bucket's name, --endpoint-url and the region; a proxy may be in between"


def check_source(source: str, options: StoreOptions) -> Iterator[Check]:
    """How a source is asked, and whether it answers: one key of a bucket, one image of a folder."""
    if not source.startswith("s3://") or names_inventory(source):
        yield _check_listing(source, options)
        return
    try:
        access = describe_access(source, options)
        where = f"region {access.region or 'not set'}, {access.endpoint_url}"
        yield passed("credentials", f"{access.credentials}; {where}")
        key = find_first_key(source, options)
    except ObjseekError as exc:
        is_refused = isinstance(exc, StoreAccessError)
        yield failed("source", str(exc), _ACCESS if is_refused else _ADDRESS)
        return
    if key is None:
        advice = "compare the prefix with the keys of the bucket"
        yield warned("source", f"{source} answers, and has no key", advice)
        return
    yield passed("source", f"{source} answers, its first key is {key}")


def _check_listing(source: str, options: StoreOptions) -> Check:
    try:
        listing = build_store(source, options).list_images(lambda reason, uri: None)
        first = next(iter(listing), None)
    except ObjseekError as exc:
        return failed("source", str(exc), "name a folder, a file, a glob or s3://bucket/prefix")
    if first is None:
        return warned("source", f"no image under {source}", "compare --include and --exclude")
    return passed("source", f"{source}, its first image is {first.key}")
