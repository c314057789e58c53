"""Opens a file of rows by its suffix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from schemas.errors import UsageError

PARQUET, ARROW = (".parquet",), (".arrow", ".feather", ".ipc")
TEXTS = (".jsonl", ".ndjson", ".csv")


class TableFile(Protocol):
    """Rows in one file. Its readers raise what pyarrow does, OSError and ValueError."""

    schema: pa.Schema

    def count(self) -> int:
        """How many rows there are."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows in their order, `ROWS_AT_ONCE` or fewer at a time."""
        ...


def open_table(path: Path) -> TableFile:
    """The rows of a file. Raises UsageError for another suffix, else what pyarrow raises."""
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        from pipeline.transfer.sources.parquet_file import ParquetRows

        return ParquetRows(path)
    if suffix in ARROW:
        from pipeline.transfer.sources.arrow_file import ArrowRows

        return ArrowRows(path)
    if suffix == ".csv":
        from pipeline.transfer.sources.csv_file import CsvRows

        return CsvRows(path)
    if suffix in TEXTS:
        from pipeline.transfer.sources.jsonl_file import JsonRows

        return JsonRows(path)
    expected = ", ".join((*PARQUET, *ARROW, *TEXTS))
    raise UsageError(f"expected a file that ends in one of {expected}, got {path}")
