"""Lays out a Lance table of points, and converts points to its rows and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.dataset import points_schema, points_table
from schemas.errors import VectorIndexError
from schemas.payload import OWN
from schemas.points import Point, ScoredPoint, SparseVector
from schemas.records import SPARSE_NAME, WORDS_NAME
from schemas.thumbnails import THUMBNAIL, to_text
from workers.indexes.lance import own_columns
from workers.indexes.lance.impact_codes import impact_codes

DISTANCE, ROW_ADDRESS = "_distance", "_rowaddr"
VECTOR = "vector"
_TIME = pa.timestamp("us", tz="UTC")
_IMPACTS = pa.list_(pa.int64())
"""Of 64 bits: an index over lists of other whole numbers is never used."""


@dataclass(frozen=True, slots=True)
class SparseColumns:
    """The columns of one kind of sparse vector; `impacts` are its `impact_codes`, to be indexed."""

    indices: str
    values: str
    impacts: str

    @property
    def stored(self) -> list[str]:
        """Those that hold the vector."""
        return [self.indices, self.values]


SPARSE_COLUMNS = {
    WORDS_NAME: SparseColumns("word_indices", "word_values", "word_impacts"),
    SPARSE_NAME: SparseColumns("sparse_indices", "sparse_values", "sparse_impacts"),
}
_NOT_SHOWN = frozenset(
    [VECTOR, THUMBNAIL]
    + [name for each in SPARSE_COLUMNS.values() for name in (*each.stored, each.impacts)]
)


def table_schema(dim: int) -> pa.Schema:
    """One row a point, as exports have them: typed columns, for every other program to read.

    `vector` float32 (dim,), unit length.
    """
    schema = points_schema(dim)
    for columns in SPARSE_COLUMNS.values():
        schema = schema.append(pa.field(columns.impacts, _IMPACTS))
    return schema


def read_dim(schema: pa.Schema) -> int:
    """How many numbers the vectors have. Raises VectorIndexError for another's table."""
    field = schema.field(VECTOR) if VECTOR in schema.names else None
    if field is None or not pa.types.is_fixed_size_list(field.type):
        raise VectorIndexError("expected a table of objseek's points, it has no column `vector`")
    dim: int = field.type.list_size
    missing = [name for name in table_schema(dim).names if name not in schema.names]
    if missing:
        raise VectorIndexError(
            f"expected a table of objseek's points, it has no column {', '.join(missing)}"
        )
    return dim


def to_rows(points: Sequence[Point], dim: int, schema: pa.Schema) -> pa.Table:
    """The rows of points in a table of this schema.

    Raises ValueError, which names the point, for one that cannot be one.
    """
    table = points_table(points, dim, all_digits=True)
    for columns, vectors in zip(
        SPARSE_COLUMNS.values(),
        ([point.words for point in points], [point.sparse for point in points]),
        strict=True,
    ):
        codes = [None if each is None else impact_codes(each).tolist() for each in vectors]
        table = table.append_column(columns.impacts, pa.array(codes, _IMPACTS))
    return own_columns.add_columns(table, points, schema)


RANKING_COLUMNS = [
    "id", "kind", "image_id", "uri", "width", "height", "rle", "predicted_iou", "label_logsumexp",
    "t_key",
]  # fmt: skip
"""What ranks points, and tells whether they overlap: a fifth of what hits show."""


def payload_columns(schema: pa.Schema) -> list[str]:
    """The columns of what a hit shows: all but its vectors and its thumbnail."""
    return [
        name
        for name in schema.names
        if name not in _NOT_SHOWN and not name.startswith(own_columns.PREFIX)
    ]


def from_rows(table: pa.Table) -> Iterator[Point]:
    """The points of rows, in their order, with what of vector and words the columns have."""
    vectors = _vectors(table)
    for position, row in enumerate(_plain_rows(table)):
        yield _to_point(row, None if vectors is None else vectors[position])


def scored_from_rows(table: pa.Table) -> Iterator[ScoredPoint]:
    """The points of rows that a search has found; the score is 1 minus the cosine distance."""
    for row in _plain_rows(table):
        distance = row.pop(DISTANCE)
        point = _to_point(row, None)
        yield ScoredPoint(point.id, point.payload, words=point.words, score=1.0 - distance)


def _vectors(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    if VECTOR not in table.column_names:
        return None
    column = table[VECTOR].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    rows: np.ndarray[Any, np.dtype[np.float32]] = flat.reshape(-1, column.type.list_size)
    return rows


def _plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python has them; times have no zone, whose database small containers lack."""
    if VECTOR in table.column_names:
        table = table.drop_columns([VECTOR])
    for position, field in enumerate(table.schema):
        if field.type == _TIME:
            times = table[field.name].cast(pa.timestamp("us"))
            table = table.set_column(position, field.name, times)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _to_point(row: dict[str, Any], vector: np.ndarray[Any, Any] | None) -> Point:
    identity = row.pop("id")
    words, sparse = (_pop_sparse(row, SPARSE_COLUMNS[name]) for name in (WORDS_NAME, SPARSE_NAME))
    payload = {name: _to_json(value) for name, value in row.items() if value is not None}
    if OWN in payload:
        payload[OWN] = json.loads(payload[OWN])
    dense = None if vector is None else vector.astype(np.float32)
    return Point(identity, payload, dense, words, sparse)


def _pop_sparse(row: dict[str, Any], columns: SparseColumns) -> SparseVector | None:
    indices, values = row.pop(columns.indices, None), row.pop(columns.values, None)
    if indices is None:
        return None
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))


def _to_json(value: Any) -> Any:
    """A value as the payload of a point has it in every index."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return to_text(value) if isinstance(value, bytes) else value
