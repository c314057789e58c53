"""Reads the rows of an inventory's files, Parquet, ORC or CSV, some thousand at a time."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

from schemas.errors import DatasetError, one_line
from workers.stores.inventory.manifest import InventoryFormat, normalize_column
from workers.stores.object_version import etag_version
from workers.stores.s3_listing import ListedObject, is_archive

_ROWS_AT_ONCE = 10_000
_KEY, _SIZE, _ETAG, _CLASS = "key", "size", "etag", "storageclass"
_LATEST, _MARKER = "islatest", "isdeletemarker"
_WANTED = frozenset({_KEY, _SIZE, _ETAG, _CLASS, _LATEST, _MARKER})
_GZIP = b"\x1f\x8b"
_CSV_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """An object as an inventory has it: of a bucket with versions, also what is no more."""

    listed: ListedObject
    is_latest: bool
    is_delete_marker: bool


def read_rows(
    file: BinaryIO, format: InventoryFormat, columns: Sequence[str], uri: str
) -> Iterator[list[InventoryRow]]:
    """The rows of a file in its order; `columns` are those of a CSV, which has no header.

    Columns that are missing count as not told. Raises DatasetError for a file that cannot be read
    or has no keys, about `uri`.
    """
    try:
        for batch in _read_batches(file, format, columns, uri):
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield _read_batch(batch.slice(start, _ROWS_AT_ONCE), is_text=format == "CSV")
    except (pa.ArrowException, OSError, EOFError, ValueError, KeyError) as exc:
        raise DatasetError(
            f"expected a {format} file of an inventory, it cannot be read: {one_line(exc)} ({uri})"
        ) from exc


def _read_batches(
    file: BinaryIO, format: InventoryFormat, columns: Sequence[str], uri: str
) -> Iterator[pa.RecordBatch]:
    if format == "CSV":
        yield from _read_csv(file, _choose(columns, uri), columns)
    elif format == "Parquet":
        table = pq.ParquetFile(file, pre_buffer=False)
        chosen = _choose(table.schema_arrow.names, uri)
        yield from table.iter_batches(_ROWS_AT_ONCE, columns=chosen, use_threads=False)
    else:
        stripes = pyarrow.orc.ORCFile(file)
        chosen = _choose(stripes.schema.names, uri)
        for number in range(stripes.nstripes):
            yield stripes.read_stripe(number, columns=chosen)


def _read_csv(
    file: BinaryIO, chosen: list[str], columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    is_packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    text = gzip.GzipFile(fileobj=file) if is_packed else file
    if not text.read(1):  # a file without a row
        return
    text.seek(0)
    yield from pyarrow.csv.open_csv(
        text,
        pyarrow.csv.ReadOptions(
            column_names=list(columns), block_size=_CSV_BLOCK_BYTES, use_threads=False
        ),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=chosen,
            strings_can_be_null=False,
        ),
    )


def _choose(columns: Sequence[str], uri: str) -> list[str]:
    """Those of the columns that are read. Raises DatasetError if there is none with keys."""
    chosen = [name for name in columns if normalize_column(name) in _WANTED]
    if _KEY not in map(normalize_column, chosen):
        raise DatasetError(
            f"expected a column with keys in a file of an inventory, got {', '.join(columns)} "
            f"({uri})"
        )
    return chosen


def _read_batch(batch: pa.RecordBatch, *, is_text: bool) -> list[InventoryRow]:
    columns: dict[str, list[Any]] = dict.fromkeys(_WANTED, [None] * batch.num_rows)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        columns[normalize_column(name)] = column.to_pylist()
    keys = columns[_KEY]
    if is_text:
        # Spaces come as +, and a + itself as %2B.
        keys = [unquote_plus(key, errors="surrogateescape") for key in keys]
    others = (columns[name] for name in (_SIZE, _ETAG, _CLASS, _LATEST, _MARKER))
    return [_read_row(*values) for values in zip(keys, *others, strict=True)]


def _read_row(
    key: Any, size: Any, etag: Any, storage_class: Any, is_latest: Any, is_marker: Any
) -> InventoryRow:
    version = etag_version(etag)
    listed = ListedObject(
        key=key or "",
        version=version,
        has_etag=bool(version),
        size_bytes=_read_size(size),
        is_archived=is_archive(storage_class or ""),
    )
    return InventoryRow(listed, _is(is_latest, missing=True), _is(is_marker, missing=False))


def _read_size(size: Any) -> int | None:
    if isinstance(size, str):
        return int(size) if size.isdecimal() else None
    return size if isinstance(size, int) and size >= 0 else None


def _is(flag: Any, *, missing: bool) -> bool:
    if flag is None or flag == "":
        return missing
    return flag if isinstance(flag, bool) else str(flag).lower() == "true"
