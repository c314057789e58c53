"""Converts rows of the manifest to tables, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC

import pyarrow as pa

from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State


def to_table(rows: Sequence[ManifestRow]) -> pa.Table:
    """A table of `MANIFEST_SCHEMA`."""
    columns: dict[str, list[object]] = {name: [] for name in MANIFEST_SCHEMA.names}
    for row in rows:
        for name, value in asdict(row).items():
            columns[name].append(_storable(value) if isinstance(value, str) else value)
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def to_rows(table: pa.Table) -> Iterator[ManifestRow]:
    """The rows of a table of `MANIFEST_SCHEMA`, in its order."""
    # Without its zone: resolving one takes a time zone database, which small containers lack.
    times = table["at"].cast(pa.timestamp("us")).to_pylist()
    for values, at in zip(table.drop_columns("at").to_pylist(), times, strict=True):
        values["state"] = State(values["state"])
        yield ManifestRow(**values, at=at.replace(tzinfo=UTC))


def _storable(text: str) -> str:
    # Messages may hold file names that are not UTF-8; Parquet takes UTF-8 only.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
