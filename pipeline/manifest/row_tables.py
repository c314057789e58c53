"""Converts rows of the manifest to tables, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC

import pyarrow as pa

from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State


def to_table(rows: Sequence[ManifestRow]) -> pa.Table:
    """A table of `MANIFEST_SCHEMA`."""
    columns = {
        name: [_storable(getattr(row, name)) for row in rows] for name in MANIFEST_SCHEMA.names
    }
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def to_rows(table: pa.Table) -> Iterator[ManifestRow]:
    """The rows of a table of `MANIFEST_SCHEMA`, in its order."""
    # Without its zone: resolving one takes a time zone database, which small containers lack.
    times = table["at"].cast(pa.timestamp("us")).to_pylist()
    for values, at in zip(table.drop_columns("at").to_pylist(), times, strict=True):
        values["state"] = State(values["state"])
        yield ManifestRow(**values, at=at.replace(tzinfo=UTC))


def _storable(value: object) -> object:
    # Messages may hold file names that are not UTF-8; Parquet takes UTF-8 only.
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
