"""Reads the rows of a CSV file whose first line names its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv

from pipeline.transfer.sources.row_source import slices


class CsvRows:
    """See `TableFile`. Types are those of the first megabyte."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open(()) as reader:
            self.schema: pa.Schema = reader.schema

    def count(self) -> int:
        with self._open(self.schema.names[:1]) as reader:
            return sum(batch.num_rows for batch in reader)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with self._open(columns) as reader:
            for batch in reader:
                yield from slices(batch)

    def _open(self, columns: Sequence[str]) -> pv.CSVStreamingReader:
        return pv.open_csv(
            self._path,
            parse_options=pv.ParseOptions(newlines_in_values=True),
            convert_options=pv.ConvertOptions(include_columns=list(columns)),
        )
