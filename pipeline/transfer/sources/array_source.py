"""Takes vectors from .npy files, and what belongs to them from a file of rows beside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.transfer.sources.row_source import SourceBatch, digest_files, raising_dataset_errors
from pipeline.transfer.sources.table_file import open_table
from pipeline.transfer.sources.table_source import read_batches
from schemas.errors import DatasetError


class ArraySource:
    """See `RowSource`. `pairs` are an array (rows, dim) each, and the file of its rows.

    The vectors are a column `vector_name`. Raises DatasetError where they do not fit each other.
    """

    def __init__(
        self, folder: Path, pairs: Sequence[tuple[Path, Path]], vector_name: str = "vector"
    ) -> None:
        self._folder, self._pairs, self._vector_name = folder, pairs, vector_name
        arrays, tables = pairs[0]
        self.name = (
            f"{arrays.name} with {tables.name}"
            if len(pairs) == 1
            else f"{len(pairs):,} arrays in {folder}"
        )
        dim = _map(arrays).shape[1]
        with raising_dataset_errors(tables):
            columns: pa.Schema = open_table(tables).schema
        if vector_name in columns.names:
            columns = columns.remove(columns.get_field_index(vector_name))
        self.schema: pa.Schema = columns.append(pa.field(vector_name, pa.list_(pa.float32(), dim)))

    @cached_property
    def rows(self) -> int:
        return sum(len(_map(arrays)) for arrays, _ in self._pairs)

    def digest(self) -> str:
        return digest_files([path for pair in self._pairs for path in pair])

    def batches(self, columns: Sequence[str]) -> Iterator[SourceBatch]:
        others = [name for name in columns if name != self._vector_name]
        for arrays, path in self._pairs:
            name, row, vectors = path.relative_to(self._folder).as_posix(), 0, _map(arrays)
            with raising_dataset_errors(path):
                table = open_table(path)
                if table.count() != len(vectors):
                    raise DatasetError(
                        f"expected a row for each of the {len(vectors):,} vectors of "
                        f"{arrays.name}, got {table.count():,} in {name}"
                    )
            # Without a column there would be no row: one is read, and left out.
            read = others or table.schema.names[:1]
            for rows in read_batches(path, table, read):
                batch = self._join(rows, vectors[row : row + rows.num_rows], columns)
                yield SourceBatch(name, row + 1, batch)
                row += rows.num_rows

    def _join(
        self, rows: pa.RecordBatch, vectors: npt.NDArray[np.generic], columns: Sequence[str]
    ) -> pa.RecordBatch:
        if self._vector_name in columns:
            flat = pa.array(vectors.astype(np.float32).reshape(-1))
            lists = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
            rows = rows.append_column(self._vector_name, lists)
        return rows.select(list(columns))


def _map(path: Path) -> npt.NDArray[np.generic]:
    with raising_dataset_errors(path):
        array: npt.NDArray[np.generic] = np.load(path, mmap_mode="r")
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise DatasetError(
                f"expected numbers (rows, dim) in {path}, got {array.dtype} {array.shape}"
            )
        return array
