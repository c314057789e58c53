"""Lays out a Lance table of points, and converts points to its rows and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.dataset import points_schema, points_table
from schemas.errors import VectorIndexError
from schemas.named_vectors import dims_of, read_named, stored_among
from schemas.points import Point, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from schemas.tags import TAGS
from schemas.thumbnails import THUMBNAIL, to_text
from workers.indexes.lance import own_columns
from workers.indexes.lance.impact_codes import impact_codes
from workers.indexes.lance.packed_points import pack_point, unpack_point

DISTANCE, ROW_ADDRESS = "_distance", "_rowaddr"
VECTOR, PACKED = "vector", "packed"
PACKED_VECTORS = (VECTOR_NAME, WORDS_NAME)
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


def table_schema(dim: int) -> pa.Schema:
    """One row a point, as exports have them: typed columns, for filters and other programs to read.

    `vector` float32 (dim,), unit length. `packed` has the point once more, as hits are read.
    """
    schema = points_schema(dim)
    for columns in SPARSE_COLUMNS.values():
        schema = schema.append(pa.field(columns.impacts, _IMPACTS))
    return schema.append(pa.field(PACKED, pa.binary(), nullable=False))


def missing_columns(schema: pa.Schema, points: Sequence[Point]) -> list[pa.Field]:
    """The columns that a table needs for what points hold, and has not.

    Of the user's own fields, and of tags in a table that is older than these.
    """
    missing = own_columns.missing_columns(schema, points)
    if any(point.payload.get(TAGS) for point in points):
        missing += missing_tags(schema)
    return missing


def missing_tags(schema: pa.Schema) -> list[pa.Field]:
    """The column of tags, if a table has none."""
    return [] if TAGS in schema.names else [points_schema(1).field(TAGS)]


def read_dim(schema: pa.Schema) -> int:
    """How many numbers the vectors have. Raises VectorIndexError for another's table.

    One that is older than tags has no column of them until the first is given.
    """
    field = schema.field(VECTOR) if VECTOR in schema.names else None
    if field is None or not pa.types.is_fixed_size_list(field.type):
        raise VectorIndexError("expected a table of objseek's points, it has no column `vector`")
    dim: int = field.type.list_size
    missing = [
        name for name in table_schema(dim).names if name not in schema.names and name != TAGS
    ]
    if missing:
        raise VectorIndexError(
            f"expected a table of objseek's points, it has no column {', '.join(missing)}"
        )
    return dim


def to_rows(points: Sequence[Point], dim: int, schema: pa.Schema) -> pa.Table:
    """The rows of points in a table of this schema.

    Raises ValueError, which names the point, for one that cannot be one.
    """
    table = points_table(points, dim, dims_of(schema), all_digits=True)
    for columns, vectors in zip(
        SPARSE_COLUMNS.values(),
        ([point.words for point in points], [point.sparse for point in points]),
        strict=True,
    ):
        codes = [None if each is None else impact_codes(each).tolist() for each in vectors]
        table = table.append_column(columns.impacts, pa.array(codes, _IMPACTS))
    field = pa.field(PACKED, pa.binary(), nullable=False)
    table = table.append_column(field, pa.array(map(pack_point, points), pa.binary()))
    table = own_columns.add_columns(table, points, schema)
    # As they follow each other in the table, where each kind may have been added at any time.
    return table.select([name for name in schema.names if name in table.column_names])


def vector_columns(names: Collection[str]) -> list[str]:
    """The columns beside `packed` that have the vectors of these names."""
    sparse = SPARSE_COLUMNS[SPARSE_NAME].stored if SPARSE_NAME in names else []
    return [*sparse, *stored_among(names)]


def from_rows(table: pa.Table, vectors: Collection[str] = PACKED_VECTORS) -> Iterator[Point]:
    """The points of rows with `packed`, in their order, with the vectors of these names.

    And with thumbnails, users' sparse vectors and named ones where these columns are read.
    """
    sparse, named = _sparse(table), read_named(table)
    thumbnails = table[THUMBNAIL].to_pylist() if THUMBNAIL in table.column_names else None
    for position, value in enumerate(table[PACKED].to_pylist()):
        point = unpack_point(value)
        payload = dict(point.payload)
        if thumbnails is not None and thumbnails[position] is not None:
            payload[THUMBNAIL] = to_text(thumbnails[position])
        yield Point(
            point.id,
            payload,
            point.vector if VECTOR_NAME in vectors else None,
            point.words if WORDS_NAME in vectors else None,
            sparse[position],
            named[position],
        )


def _sparse(table: pa.Table) -> list[SparseVector | None]:
    columns = SPARSE_COLUMNS[SPARSE_NAME]
    if columns.indices not in table.column_names:
        return [None] * table.num_rows
    lists = (table[name].to_pylist() for name in columns.stored)
    return [
        None
        if indices is None
        else SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))
        for indices, values in zip(*lists, strict=True)
    ]
