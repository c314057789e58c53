"""Puts the rows of each image together, in bounded memory, in whatever order a source has them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.transfer.sources.row_source import ROWS_AT_ONCE, RowSource, SourceBatch
from pipeline.transfer.vectors.rows import RowPlace
from schemas.ids import image_ids_bytes
from schemas.images import ImageRef
from workers.batching import batched

_FILE, _ROW, _KEY = "objseek file", "objseek row", "objseek key"
_PART_BYTES = 64 * 2**20
_MOST_PARTS = 256  # files that are open at once
Keys = npt.NDArray[np.uint64]
"""uint64 (n,): half of an image's id; the rows of one image have the same."""
Locate = Callable[[object], ImageRef]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRows:
    """Rows, and where each stands in its source."""

    rows: pa.RecordBatch
    places: Sequence[RowPlace]


@dataclass(frozen=True, slots=True)
class RowOrder:
    """How the rows of a source stand. `together`: those of an image follow each other.

    `images` is how many images there are.
    """

    together: bool
    images: int


def find_order(
    source: RowSource, uri_column: str, locate: Locate, note: Callable[[int], None]
) -> RowOrder:
    """Look through the uris of all rows, of which 8 bytes each are kept.

    `note` takes how many rows were looked at.
    """
    parts: list[Keys] = []
    seen = 0
    for batch in source.batches([uri_column]):
        parts.append(_keys(batch.rows.column(0), locate))
        seen += batch.rows.num_rows
        note(seen)
    keys = np.concatenate([np.zeros(0, np.uint64), *parts])
    runs = int((keys[1:] != keys[:-1]).sum()) + 1 if len(keys) else 0
    images = len(np.unique(keys))
    return RowOrder(runs == images, images)


def grouped_rows(
    source: RowSource, columns: Sequence[str], uri_column: str, order: RowOrder, locate: Locate
) -> Iterator[PlacedRows]:
    """All rows, those of an image one after the other, in their order in the source.

    Where they do not stand so, they are first put into files by image, in a temporary folder that
    takes as much room as the source.
    """
    if order.together:
        yield from map(_place, source.batches(columns))
        return
    with tempfile.TemporaryDirectory(prefix="objseek-rows-") as temporary:
        parts = _spill(source, columns, uri_column, locate, Path(temporary))
        for part in parts:
            yield from _sorted_part(part)
            part.unlink()


def _place(batch: SourceBatch) -> PlacedRows:
    numbers = range(batch.first_row, batch.first_row + batch.rows.num_rows)
    return PlacedRows(batch.rows, [RowPlace(batch.file, number) for number in numbers])


def _keys(uris: pa.Array, locate: Locate) -> Keys:
    """A key for each row; one that names no image has that of the row before it."""
    refs: list[ImageRef | None] = []
    for uri in uris.to_pylist():
        try:
            refs.append(locate(uri))
        except ValueError:
            refs.append(None)
    found = image_ids_bytes([ref for ref in refs if ref is not None])
    halves = np.ascontiguousarray(found[:, :8]).view(np.uint64).reshape(-1)
    known = np.array([ref is not None for ref in refs], bool)
    keys = np.zeros(len(refs), np.uint64)
    keys[known] = halves
    before = np.maximum.accumulate(np.where(known, np.arange(len(refs)), 0))
    filled: Keys = keys[before]
    return filled


def _spill(
    source: RowSource, columns: Sequence[str], uri_column: str, locate: Locate, folder: Path
) -> list[Path]:
    """Files of rows, each with all rows of its images."""
    parts: list[Path] = []
    with ExitStack() as stack:
        writers: list[pa.RecordBatchFileWriter] = []
        for batch in source.batches(columns):
            keys = _keys(batch.rows.column(uri_column), locate)
            marked = _mark(batch, keys)
            if not writers:
                parts = [folder / str(number) for number in range(_count_parts(source, marked))]
                writers = [stack.enter_context(pa.ipc.new_file(path, marked.schema))
                           for path in parts]  # fmt: skip
            chosen = keys % np.uint64(len(parts))
            for number in np.unique(chosen).tolist():
                writers[number].write_batch(marked.filter(pa.array(chosen == number)))
    return parts


def _mark(batch: SourceBatch, keys: Keys) -> pa.RecordBatch:
    rows, count = batch.rows, batch.rows.num_rows
    numbers = np.arange(batch.first_row, batch.first_row + count, dtype=np.int64)
    for name, values in (
        (_FILE, pa.array([batch.file] * count, pa.string())),
        (_ROW, pa.array(numbers)),
        (_KEY, pa.array(keys)),
    ):
        rows = rows.append_column(name, values)
    return rows


def _count_parts(source: RowSource, rows: pa.RecordBatch) -> int:
    of_all = source.rows * rows.nbytes // max(1, rows.num_rows)
    return int(min(_MOST_PARTS, 1 + of_all // _PART_BYTES))


def _sorted_part(path: Path) -> Iterator[PlacedRows]:
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
        order = np.argsort(table[_KEY].to_numpy(), kind="stable")
        for rows in batched(order.tolist(), ROWS_AT_ONCE):
            taken = table.take(pa.array(rows)).combine_chunks()
            for batch in taken.to_batches():
                files, numbers = batch.column(_FILE).to_pylist(), batch.column(_ROW).to_pylist()
                places = [RowPlace(*place) for place in zip(files, numbers, strict=True)]
                yield PlacedRows(batch.drop_columns([_FILE, _ROW, _KEY]), places)
