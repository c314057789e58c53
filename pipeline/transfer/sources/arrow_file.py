"""Reads the rows of an Arrow file, which Feather files are too, or of an Arrow stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.transfer.sources.row_source import slices


class ArrowRows:
    """See `TableFile`. The file is mapped, not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pa.memory_map(str(path)) as file:
            self.schema: pa.Schema = _open(file).schema

    def count(self) -> int:
        with pa.memory_map(str(self._path)) as file:
            return sum(batch.num_rows for batch in _read(file))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self._path)) as file:
            for batch in _read(file):
                yield from slices(batch.select(list(columns)))


def _open(file: pa.MemoryMappedFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    try:
        return pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file)


def _read(file: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    reader = _open(file)
    if isinstance(reader, pa.RecordBatchStreamReader):
        yield from reader
        return
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
