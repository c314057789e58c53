"""Defines what rows of vectors come from, whatever format somebody else has them in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from schemas.errors import DatasetError, one_line

ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class SourceBatch:
    """Rows that stand together in `file`, of which the first has the number `first_row`, from 1."""

    file: str
    first_row: int
    rows: pa.RecordBatch


class RowSource(Protocol):
    """Rows of somebody else's. `name` says what it is; `rows` is how many there are."""

    name: str
    schema: pa.Schema

    @property
    def rows(self) -> int: ...

    def digest(self) -> str:
        """Hex digits that stay the same as long as the rows do."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[SourceBatch]:
        """All rows in their order, `ROWS_AT_ONCE` or fewer at a time, of these columns.

        Raises DatasetError that names the file which cannot be read.
        """
        ...


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of `ROWS_AT_ONCE` or fewer rows."""
    for start in range(0, rows.num_rows, ROWS_AT_ONCE):
        yield rows.slice(start, ROWS_AT_ONCE)


def digest_files(files: Sequence[Path]) -> str:
    """32 hex digits over the contents of files, in their order."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in files:
        with raising_dataset_errors(path), path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").digest()
        hasher.update(whole)
    return hasher.hexdigest()


@contextmanager
def raising_dataset_errors(path: Path) -> Iterator[None]:
    """Turn what readers of a file raise into a DatasetError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DatasetError(f"{path} cannot be read: {one_line(exc)}") from exc
