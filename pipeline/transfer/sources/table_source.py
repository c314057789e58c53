"""Takes rows from files that have everything in their columns: Parquet, Arrow, Feather."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from pipeline.transfer.sources.row_source import SourceBatch, digest_files, raising_dataset_errors
from pipeline.transfer.sources.table_file import TableFile, open_table
from schemas.errors import DatasetError


class TableSource:
    """See `RowSource`. `files` are below `folder`, by which they are named.

    Columns are those of the first. Raises DatasetError for a file that cannot be read.
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder, self._files = folder, files
        self.name = f"{files[0].name}" if len(files) == 1 else f"{len(files):,} files in {folder}"
        self.schema: pa.Schema = _open(files[0]).schema

    @cached_property
    def rows(self) -> int:
        return sum(_count(path) for path in self._files)

    def digest(self) -> str:
        return digest_files(self._files)

    def batches(self, columns: Sequence[str]) -> Iterator[SourceBatch]:
        for path in self._files:
            name, row = path.relative_to(self._folder).as_posix(), 1
            table = _open(path)
            if absent := [each for each in columns if each not in table.schema.names]:
                raise DatasetError(
                    f"expected the columns of {self._files[0].name} in {name}, "
                    f"it has no {absent[0]!r}"
                )
            for rows in read_batches(path, table, columns):
                yield SourceBatch(name, row, rows)
                row += rows.num_rows


def read_batches(path: Path, table: TableFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a file. Raises DatasetError for one that is damaged."""
    with raising_dataset_errors(path):
        yield from table.batches(columns)


def _open(path: Path) -> TableFile:
    with raising_dataset_errors(path):
        return open_table(path)


def _count(path: Path) -> int:
    with raising_dataset_errors(path):
        return open_table(path).count()
