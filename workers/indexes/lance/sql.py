"""Turns filters on points into the SQL of Lance."""

from __future__ import annotations

import re
from collections.abc import Iterable

from schemas.dataset import points_schema
from schemas.payload import INTEGER_FIELDS
from workers.indexes.filters import (
    Bound,
    Ids,
    Numbers,
    OneOf,
    PointFilter,
    Prefix,
    SureLabel,
    Test,
    Times,
)

_OPERATORS: dict[Bound, str] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_POSITION = re.compile(r"(\w+)\[(\d+)\]")
_LISTS = ("labels",)
_ALWAYS_THERE = frozenset(field.name for field in points_schema(1) if not field.nullable)
# Beyond it a literal would be no 64-bit number.
_MOST_WHOLE = 2**62
_TIME_TYPE = "'Timestamp(Microsecond, Some(\"UTC\"))'"


def to_sql(where: PointFilter) -> str | None:
    """The same filter, None for one that every point meets."""
    parts = [_to_condition(test) for test in where.must]
    parts += [_to_opposite(test) for test in where.must_not]
    return " AND ".join(parts) if parts else None


def quote(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, values: Iterable[str]) -> str:
    """That a column has one of these texts."""
    quoted = ", ".join(map(quote, values))
    return f"{column} IN ({quoted})" if quoted else "false"


def _to_condition(test: Test) -> str:
    match test:
        case OneOf(field, values) if field in _LISTS:
            return f"array_has_any({field}, [{', '.join(map(quote, values))}])"
        case OneOf(field, values):
            return one_of(_column(field), values)
        case Prefix(field, prefix) if field in _LISTS:
            raise ValueError(f"a beginning of {field} has to become its values first")
        case Prefix(field, prefix):
            return f"starts_with({_column(field)}, {quote(prefix)})"
        case Numbers(field, value, bounds):
            return _within(_column(field), _number(field, value), bounds)
        case Times(field, at, bounds):
            literal = f"to_timestamp_micros({int(at.timestamp()) * 10**6 + at.microsecond})"
            return _within(field, f"arrow_cast({literal}, {_TIME_TYPE})", bounds)
        case Ids(ids):
            return one_of("id", ids)
        case SureLabel(label):
            both = (" AND ".join(map(_to_condition, tests)) for tests in test.alternatives())
            placed = " OR ".join(f"({each})" for each in both)
            if isinstance(label, Prefix):
                return f"({placed})"
            # That it is any label is indexed, whatever its place.
            return f"({_to_condition(label)} AND ({placed}))"


def _to_opposite(test: Test) -> str:
    """That a test is not met: a row without the field does not meet it."""
    condition = _to_condition(test)
    match test:
        case SureLabel():
            return f"NOT coalesce({condition}, false)"  # null for a place that there is not
        case OneOf(field) | Prefix(field) | Numbers(field) | Times(field) if (
            field not in _ALWAYS_THERE
        ):
            return f"({_column(field)} IS NULL OR NOT ({condition}))"
    return f"NOT ({condition})"


def _number(field: str, value: float) -> str:
    value = float(value)
    whole = field in INTEGER_FIELDS and value.is_integer() and abs(value) < _MOST_WHOLE
    return repr(int(value)) if whole else repr(value)


def _within(column: str, literal: str, bounds: Iterable[Bound]) -> str:
    return " AND ".join(f"{column} {_OPERATORS[bound]} {literal}" for bound in bounds)


def _column(field: str) -> str:
    """The column of a field, or of one place of a list, from 1 in SQL."""
    place = _POSITION.fullmatch(field)
    return f"array_element({place[1]}, {int(place[2]) + 1})" if place else field
