"""Turns filters on points into the SQL of Lance."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TypeGuard

from schemas.dataset import points_schema
from schemas.payload import INTEGER_FIELDS
from schemas.tags import TAGS
from workers.indexes.filters import (
    AnyOf,
    Bound,
    Ids,
    Numbers,
    OneOf,
    PointFilter,
    Prefix,
    SureLabel,
    Test,
    Times,
    is_own,
)
from workers.indexes.lance.own_columns import column_name

_OPERATORS: dict[Bound, str] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_POSITION = re.compile(r"(\w+)\[(\d+)\]")
_LISTS = ("labels", TAGS)
_ALWAYS_THERE = frozenset(field.name for field in points_schema(1) if not field.nullable)
# Beyond it a literal would be no 64-bit number.
_MOST_WHOLE = 2**62
_TIME_TYPE = "'Timestamp(Microsecond, Some(\"UTC\"))'"


def to_sql(where: PointFilter, columns: Collection[str]) -> str | None:
    """The same filter on a table with these columns, None for one that every point meets.

    Tests of tags, and of fields of the user's own, that no point has are met by none. Raises
    ValueError for a beginning of a list's texts, see `is_prefix_of_list`.
    """
    parts = [_to_condition(_known(test, columns)) for test in where.must]
    parts += [_to_opposite(_known(test, columns)) for test in where.must_not]
    return " AND ".join(parts) if parts else None


def _known(test: Test, columns: Collection[str]) -> Test:
    """The test, or one that no point meets in place of those of columns that there are not."""
    match test:
        case OneOf(field) | Prefix(field) if _may_lack(field) and text_column(field) not in columns:
            return AnyOf(())
        case Numbers(field) if is_own(field) and _column(field) not in columns:
            return AnyOf(())
        case AnyOf(tests):
            known = (_known(each, columns) for each in tests)
            return AnyOf(tuple(each for each in known if isinstance(each, OneOf | Numbers)))
    return test


def _may_lack(field: str) -> bool:
    """Whether there are tables without a column of it."""
    return is_own(field) or field == TAGS


def is_prefix_of_list(test: Test) -> TypeGuard[Prefix]:
    """Whether it tests how texts of a list begin, which SQL cannot say."""
    return isinstance(test, Prefix) and _is_list(test.field)


def _is_list(field: str) -> bool:
    return field in _LISTS or is_own(field)


def text_column(field: str) -> str:
    """The column of a field that holds texts."""
    return column_name(field, "text") if is_own(field) else field


def quote(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, values: Iterable[str]) -> str:
    """That a column has one of these texts."""
    quoted = ", ".join(map(quote, values))
    return f"{column} IN ({quoted})" if quoted else "false"


def _to_condition(test: Test) -> str:
    match test:
        case OneOf(field, values) if _is_list(field):
            return f"array_has_any({text_column(field)}, [{', '.join(map(quote, values))}])"
        case OneOf(field, values):
            return one_of(_column(field), values)
        case Prefix(field) if _is_list(field):
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
        case AnyOf(tests):
            return f"({' OR '.join(map(_to_condition, tests))})" if tests else "false"
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
        case SureLabel() | AnyOf():
            return f"NOT coalesce({condition}, false)"  # null for a place that there is not
        case OneOf(field) if is_own(field):
            return f"({text_column(field)} IS NULL OR NOT ({condition}))"
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
    name = column_name(field, "number") if is_own(field) else field
    place = _POSITION.fullmatch(field)
    return f"array_element({place[1]}, {int(place[2]) + 1})" if place else name
