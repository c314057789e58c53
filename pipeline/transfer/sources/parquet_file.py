"""Reads the rows of a Parquet file, however large its row groups are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.transfer.sources.row_source import ROWS_AT_ONCE

_BUFFER_BYTES = 1 << 20


class ParquetRows:
    """See `TableFile`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self.schema: pa.Schema = file.schema_arrow
            self._rows: int = file.metadata.num_rows

    def count(self) -> int:
        return self._rows

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Buffered by page: a row group of somebody else's may be larger than memory.
        opened = pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        with opened as file:
            yield from file.iter_batches(ROWS_AT_ONCE, columns=list(columns), use_threads=False)
