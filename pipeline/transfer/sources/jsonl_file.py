"""Reads the rows of a file that has a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.transfer.sources.row_source import ROWS_AT_ONCE
from schemas.errors import one_line
from workers.batching import batched


class JsonRows:
    """See `TableFile`. Fields and their types are those of the first `ROWS_AT_ONCE` lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        first = list(islice(self._objects(), ROWS_AT_ONCE))
        names = list(dict.fromkeys(name for row in first for name in row))
        self.schema: pa.Schema = pa.schema(
            [pa.field(name, _array(name, first).type) for name in names]
        )

    def count(self) -> int:
        return sum(1 for _ in self._objects())

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        fields = [self.schema.field(name) for name in columns]
        for rows in batched(self._objects(), ROWS_AT_ONCE):
            arrays = [_array(field.name, rows, field.type) for field in fields]
            yield pa.record_batch(arrays, schema=pa.schema(fields))

    def _objects(self) -> Iterator[dict[str, Any]]:
        with self._path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"expected a JSON object on line {number}, got {line[:80]!r}")
                yield row


def _array(
    name: str, rows: Sequence[Mapping[str, Any]], kind: pa.DataType | None = None
) -> pa.Array:
    try:
        return pa.array([row.get(name) for row in rows], kind)
    except (pa.ArrowException, OverflowError) as exc:
        raise ValueError(
            f"expected values of one type in the field {name!r}: {one_line(exc)}"
        ) from exc
