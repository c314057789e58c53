"""Reads the manifest.json of an S3 Inventory: which bucket was listed, and in which files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from schemas.errors import DatasetError

_T = TypeVar("_T")
InventoryFormat = Literal["Parquet", "ORC", "CSV"]
_FORMATS: dict[str, InventoryFormat] = {"parquet": "Parquet", "orc": "ORC", "csv": "CSV"}
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """A file of rows. `md5` is in hex, and like `size_bytes` None where it is not told."""

    key: str
    size_bytes: int | None
    md5: str | None


@dataclass(frozen=True, slots=True)
class InventoryManifest:
    """What an inventory consists of. `columns` are those of a CSV, which has no header."""

    bucket: str
    format: InventoryFormat
    columns: tuple[str, ...]
    files: tuple[InventoryFile, ...]


def parse_manifest(content: bytes, uri: str) -> InventoryManifest:
    """The manifest at `uri`. Raises DatasetError that names the field which is not as it should be.

    An inventory without files is one of an empty bucket.
    """
    try:
        document = json.loads(content)
    except ValueError as exc:
        raise DatasetError(
            f"expected the manifest.json of an S3 Inventory, got no whole JSON: {exc} ({uri})"
        ) from exc
    if not isinstance(document, dict):
        raise _error("an object", document, uri)
    bucket = _take(document, "sourceBucket", str, uri).rpartition(":::")[2]
    named = _take(document, "fileFormat", str, uri)
    format = _FORMATS.get(named.lower())
    if not bucket:
        raise _error("the name of a bucket in sourceBucket", bucket, uri)
    if format is None:
        raise _error("Parquet, ORC or CSV in fileFormat", named, uri)
    columns: tuple[str, ...] = ()
    if format == "CSV":
        names = _take(document, "fileSchema", str, uri).split(",")
        columns = tuple(name.strip() for name in names)
        if len({*map(normalize_column, columns)}) != len(columns) or not all(columns):
            raise _error("different names of columns in fileSchema", ",".join(columns), uri)
    files = _take(document, "files", list, uri)
    return InventoryManifest(
        bucket, format, columns, tuple(_read_file(each, uri) for each in files)
    )


def normalize_column(name: str) -> str:
    """One name for a column, which CSV calls `ETag` and Parquet and ORC `e_tag`."""
    return name.replace("_", "").lower()


def _read_file(entry: Any, uri: str) -> InventoryFile:
    if not isinstance(entry, dict):
        raise _error("an object for each of files", entry, uri)
    key, size, md5 = entry.get("key"), entry.get("size"), entry.get("MD5checksum")
    if not isinstance(key, str) or not key:
        raise _error("the key of each of files", key, uri)
    if size is not None and (not isinstance(size, int) or size < 0):
        raise _error(f"the size in bytes of the file {key!r}", size, uri)
    if md5 is None or md5 == "":
        return InventoryFile(key, size, None)
    if not isinstance(md5, str) or not _MD5.fullmatch(md5.lower()):
        raise _error(f"32 hex digits as MD5checksum of the file {key!r}", md5, uri)
    return InventoryFile(key, size, md5.lower())


def _take(document: dict[str, Any], name: str, kind: type[_T], uri: str) -> _T:
    value = document.get(name)
    if not isinstance(value, kind):
        expected = "a list" if kind is list else "a text"
        raise _error(f"{expected} in {name}", value, uri)
    return value


def _error(expected: str, got: object, uri: str) -> DatasetError:
    shown = "nothing" if got is None else repr(got)[:100]
    return DatasetError(
        f"expected the manifest.json of an S3 Inventory with {expected}, got {shown} ({uri})"
    )
