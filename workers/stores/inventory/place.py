"""Finds an inventory's manifest and its files, in a bucket or in a folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote_to_bytes

from schemas.errors import DatasetError, ObjectGoneError, UsageError
from schemas.images import split_s3_uri
from schemas.options import StoreOptions
from workers.stores.inventory.source import MANIFEST_NAME, MARK
from workers.stores.s3_prefix import S3Prefix

# The folder of one inventory is called by the time at which it was begun.
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
# Folders below a prefix: the source bucket, in it the name of the configuration; and some above.
_DEEPEST = 5
_OTHER_FOLDERS = frozenset({"data", "hive"})


class InventoryPlace(Protocol):
    """Where an inventory is. Names are relative to it; `uri` is for people."""

    uri: str

    def folders(self, start: str) -> list[str]:
        """The names of folders in `start`, which is empty or ends in a slash; sorted."""
        ...

    def read(self, name: str) -> bytes:
        """A small file. Raises ObjectGoneError if there is none."""
        ...

    def fetch(self, key: str, file: BinaryIO) -> None:
        """Write the file that a manifest calls `key`. Raises ObjectGoneError if there is none."""
        ...


def read_manifest(source: str, options: StoreOptions) -> tuple[InventoryPlace, str, bytes]:
    """Where an inventory is, and the uri and content of its manifest.

    A source that does not end in manifest.json stands for the newest inventory below it. Raises
    UsageError where there is none, or where there are those of several configurations.
    """
    address = source.removeprefix(MARK)
    folder, _, last = address.rpartition("/")
    if last == MANIFEST_NAME:
        place = _open_place(folder, options)
        try:
            return place, f"{place.uri}{MANIFEST_NAME}", place.read(MANIFEST_NAME)
        except ObjectGoneError as exc:
            raise UsageError(
                f"expected the manifest of an inventory at {source}, got none"
            ) from exc
    place = _open_place(address, options)
    for name in _list_newest_first(place):
        try:
            content = place.read(name + MANIFEST_NAME)
        except ObjectGoneError:  # it may still be written: its manifest comes last
            continue
        newest = _open_place(f"{address.rstrip('/')}/{name}", options)
        return newest, f"{newest.uri}{MANIFEST_NAME}", content
    raise UsageError(
        f"expected an inventory below {place.uri}, in a folder called as 2026-11-01T01-00Z, "
        "got none that has a manifest.json"
    )


def _list_newest_first(place: InventoryPlace) -> list[str]:
    """The folders of inventories. Raises UsageError for those of several configurations."""
    dated = list(_find_dated(place, "", _DEEPEST))
    parents = sorted({name.rstrip("/").rpartition("/")[0] for name in dated})
    if len(parents) > 1:
        raise UsageError(
            f"expected the inventories of one configuration below {place.uri}, got those of "
            f"{len(parents)}, such as {parents[0]!r} and {parents[1]!r}: name one of them"
        )
    return sorted(dated, reverse=True)


def _find_dated(place: InventoryPlace, start: str, deepest: int) -> Iterator[str]:
    """The folders of inventories below `start`, each with a slash at its end."""
    folders = place.folders(start)
    dated = [name for name in folders if _DATED.fullmatch(name)]
    if dated:
        yield from (f"{start}{name}/" for name in dated)
    elif deepest > 1:
        for name in folders:
            if name not in _OTHER_FOLDERS:
                yield from _find_dated(place, f"{start}{name}/", deepest - 1)


def _open_place(address: str, options: StoreOptions) -> InventoryPlace:
    if address.startswith("s3://"):
        return BucketPlace(address, options)
    if address.startswith("file://"):
        address = os.fsdecode(unquote_to_bytes(address.removeprefix("file://")))
    elif "://" in address:
        raise UsageError(f"expected an inventory in s3://bucket or a folder, got {address!r}")
    return FolderPlace(Path(address).expanduser().absolute())


class BucketPlace:
    """An inventory in a bucket: the keys in its manifest are those of the bucket it is in."""

    def __init__(self, address: str, options: StoreOptions) -> None:
        self._prefix = S3Prefix(address, options)
        bucket, _ = split_s3_uri(address)
        self._bucket = S3Prefix(f"s3://{bucket}/", options)
        self.uri = self._prefix.uri

    def folders(self, start: str) -> list[str]:
        return self._prefix.folders(start)

    def read(self, name: str) -> bytes:
        return self._prefix.read(name)

    def fetch(self, key: str, file: BinaryIO) -> None:
        self._bucket.download(key, file)


class FolderPlace:
    """A copy of an inventory in a folder, with as many of the folders above it as were copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uri = f"{folder}/"

    def folders(self, start: str) -> list[str]:
        try:
            return sorted(path.name for path in (self._folder / start).iterdir() if path.is_dir())
        except OSError as exc:
            raise UsageError(
                f"expected a folder of inventories, got: {exc.strerror} ({self.uri}{start})"
            ) from exc

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError as exc:
            raise ObjectGoneError(f"expected a file, got none: {self.uri}{name}") from exc
        except OSError as exc:
            raise _unreadable(self._folder / name, exc) from exc

    def fetch(self, key: str, file: BinaryIO) -> None:
        path = self._find(key)
        try:
            with path.open("rb") as stored:
                shutil.copyfileobj(stored, file)
        except OSError as exc:
            raise _unreadable(path, exc) from exc

    def _find(self, key: str) -> Path:
        """The whole key below a folder above this one, or what is left of it below fewer."""
        parts = [part for part in key.split("/") if part not in ("", ".", "..")]
        for folder in (self._folder, *self._folder.parents):
            for first in range(len(parts)):
                path = folder.joinpath(*parts[first:])
                if path.is_file():
                    return path
        raise ObjectGoneError(
            f"expected the file {key!r} of an inventory near {self.uri}, got none"
        )


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"expected a readable file of an inventory, got: {error.strerror} ({str(path)!r})"
    )
