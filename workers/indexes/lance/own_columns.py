"""Keeps fields of the user's own as columns of a Lance table, to be filtered and read by.

A field may hold numbers in some points and texts in others, and has a column for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from schemas.payload import OWN, OwnKind
from schemas.points import Point

PREFIX = f"{OWN}_"
_TYPES: dict[OwnKind, pa.DataType] = {"number": pa.float64(), "text": pa.list_(pa.string())}


def column_name(field: str, kind: OwnKind) -> str:
    """The column of a field, by the name that filters have for it, for values of a kind."""
    return f"{PREFIX}{kind}_{field.removeprefix(f'{OWN}.')}"


def missing_columns(schema: pa.Schema, points: Iterable[Point]) -> list[pa.Field]:
    """The columns that a table needs for what points hold, and has not."""
    needed = {
        column_name(name, kind): pa.field(column_name(name, kind), _TYPES[kind])
        for point in points
        for name, value in _own_of(point).items()
        for kind in (_kind_of(value),)
    }
    return [field for name, field in needed.items() if name not in schema.names]


def add_columns(rows: pa.Table, points: Sequence[Point], schema: pa.Schema) -> pa.Table:
    """Rows of points with the columns of the user's own that a table has."""
    for column, kind in kinds_of(schema).items():
        name = column.removeprefix(column_name("", kind))
        values = [_to_value(_own_of(point).get(name), kind) for point in points]
        rows = rows.append_column(column, pa.array(values, _TYPES[kind]))
    return rows


def kinds_of(schema: pa.Schema) -> dict[str, OwnKind]:
    """What the columns of the user's own hold, by their names."""
    return {
        name: kind
        for name in schema.names
        for kind in _TYPES
        if name.startswith(column_name("", kind))
    }


def _own_of(point: Point) -> dict[str, Any]:
    return point.payload.get(OWN) or {}


def _kind_of(value: Any) -> OwnKind:
    return "number" if isinstance(value, int | float) else "text"


def _to_value(value: Any, kind: OwnKind) -> Any:
    if value is None or _kind_of(value) != kind:
        return None
    if kind == "number":
        return float(value)
    return [value] if isinstance(value, str) else value
