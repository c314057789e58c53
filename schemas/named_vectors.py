"""Names further vectors of the user's own, and converts them to columns and back.

A point may have several beside the one that it is embedded with, each of a length of its own. Where
they are kept, as a column or as a vector of a collection, `title` is called `vector_title`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import UsageError

if TYPE_CHECKING:
    from schemas.points import Point

_PREFIX = "vector_"
MAX_NAME_CHARS = 60
NamedDims = Mapping[str, int]
"""How many numbers vectors have, by name."""
NO_NAMED: NamedDims = {}


def check_name(name: str) -> None:
    """Raise ValueError unless a vector may be called this: letters, digits and underscores."""
    if not re.fullmatch(rf"\w{{1,{MAX_NAME_CHARS}}}", name):
        raise ValueError(
            f"expected a name of letters, digits and underscores, at most {MAX_NAME_CHARS}, "
            f"got {name!r}"
        )


def stored_name(name: str) -> str:
    """What a vector of this name is called where it is kept."""
    return _PREFIX + name


def plain_name(stored: str) -> str | None:
    """The name of a vector that is kept as `stored`; None for what is none of these."""
    name = stored.removeprefix(_PREFIX)
    return name if name and name != stored else None


def stored_among(names: Iterable[str]) -> list[str]:
    """Those of some names of vectors, as they are kept, that are named ones."""
    return [name for name in names if plain_name(name) is not None]


def describe_dims(dims: NamedDims) -> str:
    """`poster of 16 numbers, title of 8 numbers`, by name; `none` without any."""
    return ", ".join(f"{name} of {dims[name]} numbers" for name in sorted(dims)) or "none"


def find_missing(there: NamedDims, wanted: NamedDims, location: str) -> dict[str, int]:
    """Those of the wanted that are not there. Raises UsageError for one of another length."""
    for name, dim in wanted.items():
        if there.get(name, dim) != dim:
            raise UsageError(
                f"expected vectors {name!r} of {there[name]} numbers, as those of the index at "
                f"{location} are, got vectors of {dim}"
            )
    return {name: dim for name, dim in wanted.items() if name not in there}


def merge_dims(first: NamedDims, second: NamedDims) -> dict[str, int]:
    """All of both. Raises ValueError where the same name has two lengths."""
    for name, dim in second.items():
        if first.get(name, dim) != dim:
            raise ValueError(f"expected vectors {name!r} of {first[name]} numbers, got {dim}")
    return {**first, **second}


def named_fields(dims: NamedDims) -> list[pa.Field]:
    """The columns of vectors: float32 (dim,) in each row, null where a point has none."""
    return [pa.field(stored_name(name), pa.list_(pa.float32(), dim)) for name, dim in dims.items()]


def dims_of(schema: pa.Schema) -> dict[str, int]:
    """The vectors that a schema has columns of."""
    found = ((plain_name(field.name), field.type) for field in schema)
    return {
        name: kind.list_size
        for name, kind in found
        if name is not None
        and pa.types.is_fixed_size_list(kind)
        and kind.value_type == pa.float32()
    }


def named_columns(points: Sequence[Point], dims: NamedDims) -> dict[str, pa.Array]:
    """The columns of points, whose vectors have these lengths."""
    return {
        stored_name(name): _to_column([point.named_vectors.get(name) for point in points], dim)
        for name, dim in dims.items()
    }


def _to_column(vectors: Sequence[npt.NDArray[np.float32] | None], dim: int) -> pa.Array:
    flat = np.zeros((len(vectors), dim), np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            flat[row] = vector
    absent = pa.array([vector is None for vector in vectors], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), dim, mask=absent)


def read_named(table: pa.Table) -> list[dict[str, npt.NDArray[np.float32]]]:
    """The vectors of each row by name, float32 (dim,), as far as it has them. None is checked."""
    rows: list[dict[str, npt.NDArray[np.float32]]] = [{} for _ in range(table.num_rows)]
    for name, dim in dims_of(table.schema).items():
        column = table[stored_name(name)].combine_chunks()
        there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        flat = column.drop_null().flatten().to_numpy(zero_copy_only=False)
        vectors = flat.astype(np.float32).reshape(-1, dim)
        for row, vector in zip(there.tolist(), vectors, strict=True):
            rows[row][name] = vector
    return rows


def require_places(points: Iterable[Point], read_dims: Callable[[], NamedDims]) -> None:
    """Raise UsageError for a point with a vector that an index has no place for.

    What it has places for is read where a point has named vectors at all.
    """
    having = [point for point in points if point.named_vectors]
    dims = read_dims() if having else NO_NAMED
    for point in having:
        for name, vector in point.named_vectors.items():
            if vector.shape != (dims.get(name),):
                raise UsageError(
                    f"expected vectors that the index has a place for ({describe_dims(dims)}), "
                    f"point {point.id} has {name} of shape {vector.shape}"
                )
