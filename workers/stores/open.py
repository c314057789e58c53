"""Opens stores by scheme. Each is one module with `build(source, options)`, `read` and `find`."""

from __future__ import annotations

import re

from schemas.errors import StoreAccessError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.protocols import ObjectStore
from workers.stores.inventory.source import names_inventory
from workers.stores.part_of_store import PartOfStore


def build_store(source: str, options: StoreOptions) -> ObjectStore:
    """The store of `s3://bucket/prefix`, a folder, a file or a glob (also as a `file://` uri).

    Of an S3 Inventory: its manifest.json, or `inventory+` and where its folders by date are.
    Only the part that the options choose. Nothing is contacted yet. Raises UsageError for another
    scheme.
    """
    store = _build_whole(source, options)
    if options.shard or options.key_range:
        return PartOfStore(store, options.chosen_shard, options.chosen_keys)
    return store


def _build_whole(source: str, options: StoreOptions) -> ObjectStore:
    if names_inventory(source):
        from workers.stores.inventory import store

        return store.build(source, options)
    if source.startswith("s3://"):
        from workers.stores import s3

        return s3.build(source, options)
    if not source or re.match(r"(?!file://)[a-z][a-z0-9+.-]*://", source, re.IGNORECASE):
        raise UsageError(f"expected s3://bucket/prefix, a folder, a file or a glob, got {source!r}")
    from workers.stores import folder

    return folder.build(source, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of exactly the listed version, from whichever store lists it.

    Raises ObjectGoneError, ObjectChangedError, StoreAccessError, StoreUnavailableError.
    """
    if ref.store == "http":
        raise _unread(ref)
    if ref.store == "s3":
        from workers.stores import s3

        return s3.read(ref, options)
    from workers.stores import folder

    return folder.read(ref, options)


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """The same image in the version that is there now, None if it is no longer there.

    Raises StoreAccessError, StoreUnavailableError.
    """
    if ref.store == "http":
        raise _unread(ref)
    if ref.store == "s3":
        from workers.stores import s3

        return s3.find(ref, options)
    from workers.stores import folder

    return folder.find(ref, options)


def _unread(ref: ImageRef) -> StoreAccessError:
    # Whoever may import could else have the service fetch from where they cannot.
    return StoreAccessError(
        f"expected an image in a bucket or a folder, those of the web are not fetched: {ref.uri}"
    )
