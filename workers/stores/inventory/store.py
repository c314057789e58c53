"""Lists the images of a bucket from its S3 Inventory, and reads them from the bucket."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from schemas.errors import DatasetError, ObjectGoneError, UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.protocols import Skipped
from workers.stores import s3
from workers.stores.inventory.manifest import InventoryFile, InventoryManifest, parse_manifest
from workers.stores.inventory.place import InventoryPlace, read_manifest
from workers.stores.inventory.rows import InventoryRow, read_rows
from workers.stores.s3_listing import ListedObject, add_versions
from workers.stores.selection import DELETE_MARKER, OLDER_VERSION, may_be_listed

_log = logging.getLogger(__name__)
_PIECE = 1 << 20


def build(source: str, options: StoreOptions) -> InventoryStore:
    """The store of a manifest.json, or of the newest below `inventory+` and a place.

    Nothing is contacted yet.
    """
    return InventoryStore(source, options)


class InventoryStore:
    """Lists what a bucket had when its inventory was made.

    Images are those of the bucket: they have the ids and versions of a listing of it, and what has
    changed since or is gone shows when it is read.
    """

    def __init__(self, source: str, options: StoreOptions) -> None:
        self._source = source
        self._options = options

    def list_images(self, skipped: Skipped) -> Iterator[ImageRef]:
        """In the order of the inventory's files and their rows; one file at a time is on disk.

        Older versions and delete markers are left out. The manifest is read at once, and each file
        is held against its checksum before its first row is taken. Raises UsageError where there is
        no inventory, DatasetError for one that is damaged or none, and what `ObjectStore` does.
        """
        place, uri, content = read_manifest(self._source, self._options)
        manifest = parse_manifest(content, uri)
        pages = self._read_pages(place, manifest, skipped)
        return s3.choose_images(manifest.bucket, pages, self._options, skipped)

    def covers(self, ref: ImageRef) -> bool:
        """Raises UsageError: what came after an inventory is missing in it, and is not gone."""
        raise UsageError(
            f"expected a bucket or a folder, got the inventory {self._source}: it tells what was "
            "there when it was made, and cannot show which images are no longer there"
        )

    def read(self, ref: ImageRef) -> bytes:
        return s3.read(ref, self._options)

    def _read_pages(
        self, place: InventoryPlace, manifest: InventoryManifest, skipped: Skipped
    ) -> Iterator[list[ListedObject]]:
        for number, file in enumerate(manifest.files, start=1):
            _log.info("inventory file %d of %d: %s", number, len(manifest.files), file.key)
            uri = f"{file.key} of {place.uri}"
            with tempfile.TemporaryFile(prefix="objseek-inventory-") as opened:
                stored = cast(BinaryIO, opened)
                _fetch(place, file, stored, uri)
                for rows in read_rows(stored, manifest.format, manifest.columns, uri):
                    page = list(_take_current(manifest.bucket, rows, skipped))
                    yield self._add_versions(manifest.bucket, page)

    def _add_versions(self, bucket: str, page: list[ListedObject]) -> list[ListedObject]:
        """The same with versions: a listing tells ETags where an inventory was made without them.

        What is left out anyway is not asked for.
        """
        if all(found.version for found in page):
            return page
        return add_versions(
            bucket,
            page,
            self._options,
            needed=lambda found: may_be_listed(found.key, self._options),
        )


def _fetch(place: InventoryPlace, file: InventoryFile, stored: BinaryIO, uri: str) -> None:
    """Write a file of an inventory to `stored`. Raises DatasetError for one of other content."""
    try:
        place.fetch(file.key, stored)
    except ObjectGoneError as exc:
        raise DatasetError(f"expected a file of an inventory, got none: {uri}") from exc
    size = stored.tell()
    if file.size_bytes is not None and size != file.size_bytes:
        raise DatasetError(
            f"expected a file of {file.size_bytes:,} bytes, as its manifest has it, got "
            f"{size:,}: {uri}"
        )
    stored.seek(0)
    if file.md5 is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    while piece := stored.read(_PIECE):
        digest.update(piece)
    if digest.hexdigest() != file.md5:
        raise DatasetError(
            f"expected a file of MD5 {file.md5}, as its manifest has it, got "
            f"{digest.hexdigest()}: {uri}"
        )
    stored.seek(0)


def _take_current(
    bucket: str, rows: list[InventoryRow], skipped: Skipped
) -> Iterator[ListedObject]:
    for row in rows:
        if row.is_latest and not row.is_delete_marker:
            yield row.listed
        else:
            reason = DELETE_MARKER if row.is_delete_marker else OLDER_VERSION
            skipped(reason, f"s3://{bucket}/{row.listed.key}")
