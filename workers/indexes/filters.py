"""Turns conditions into typed tests on points, and those into both of Qdrant's dialects."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from schemas.errors import UsageError
from schemas.ids import ADDED_ORDINAL
from schemas.payload import (
    DATETIME_FIELDS,
    FLOAT_FIELDS,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    MOST_LABELS,
    OWN,
)
from schemas.search import Condition

# Importing qdrant_client takes seconds, which a search in an embedded index must not wait for.
if TYPE_CHECKING:
    import qdrant_edge as edge
    from qdrant_client import models

ADDED = "added"
"""Filters by whether an object was added by hand, which its ordinal says."""
OBJECT_ID = "object_id"
"""Filters by the id of a point itself, which no payload has."""
FIELDS = (*KEYWORD_FIELDS, *INTEGER_FIELDS, *FLOAT_FIELDS, *DATETIME_FIELDS, ADDED, OBJECT_ID)
Bound = Literal["lt", "lte", "gt", "gte"]
_BOUNDS: dict[str, tuple[Bound, ...]] = {
    "=": ("gte", "lte"),
    "<": ("lt",),
    "<=": ("lte",),
    ">": ("gt",),
    ">=": ("gte",),
}
_TEXT_OPERATORS = ("=", "!=", "^=")
_NUMBER_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
_TRUTH_OPERATORS = ("=", "!=")
_ID_OPERATORS = ("=",)
_OWN_START = f"{OWN}."
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OWN_FIELD = re.compile(rf"{OWN}\.\w+")


@dataclass(frozen=True, slots=True)
class OneOf:
    """The text of a field is one of these."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The text of a field begins with this."""

    field: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of a field lies within all bounds."""

    field: str
    value: float
    bounds: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """The time of a field lies within all bounds; `value` has a time zone."""

    field: str
    value: datetime
    bounds: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Ids:
    """The point is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SureLabel:
    """One of a point's first `positions` labels meets `label`, with a score of `least_score`."""

    label: OneOf | Prefix
    least_score: float
    positions: int

    def alternatives(self) -> tuple[tuple[OneOf | Prefix, Numbers], ...]:
        """A test on the label and one on its score, for every position."""
        return tuple(
            (
                replace(self.label, field=f"labels[{position}]"),
                Numbers(f"label_scores[{position}]", self.least_score, ("gte",)),
            )
            for position in range(self.positions)
        )


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Any of these holds: a field of the user's own may be of several types."""

    tests: tuple[OneOf | Numbers, ...]


Test = OneOf | Prefix | Numbers | Times | Ids | SureLabel | AnyOf


@dataclass(frozen=True, slots=True)
class PointFilter:
    """Points that meet all of `must` and none of `must_not`."""

    must: tuple[Test, ...] = ()
    must_not: tuple[Test, ...] = ()


EVERY_POINT = PointFilter()


def point_filter(conditions: Sequence[Condition]) -> PointFilter:
    """The filter under which all `conditions` hold.

    A point without the field meets no condition on it, except `!=`. Raises UsageError that names
    the field if it is unknown, or if the operator or the value is not one for its type.
    """
    objects = any(
        (condition.field, condition.op, condition.value) == ("kind", "=", "object")
        for condition in conditions
    )
    return PointFilter(
        must=tuple(
            _to_test(condition, condition.op, objects=objects)
            for condition in conditions
            if condition.op != "!="
        ),
        must_not=tuple(
            _to_test(condition, "=", objects=objects)
            for condition in conditions
            if condition.op == "!="
        ),
    )


def check_operator(field: str, op: str) -> None:
    """Raise UsageError unless points can be filtered by `field`, and with this operator."""
    if is_own(field):
        return
    if field not in FIELDS:
        raise UsageError(
            f"unknown filter field {field!r}, expected one of {', '.join(FIELDS)}, or "
            f"{_OWN_START}NAME for a field that was imported"
        )
    allowed: tuple[str, ...] = _TEXT_OPERATORS if field in KEYWORD_FIELDS else _NUMBER_OPERATORS
    if field == ADDED:
        allowed = _TRUTH_OPERATORS
    elif field == OBJECT_ID:
        allowed = _ID_OPERATORS
    if op not in allowed:
        raise UsageError(f"the filter field {field!r} takes {' '.join(allowed)}, got {op!r}")


def _to_test(condition: Condition, op: str, *, objects: bool) -> Test:
    name, value = condition.field, condition.value
    check_operator(name, condition.op)
    if name == OBJECT_ID:
        return _check_ids(value)
    if isinstance(value, tuple):
        raise UsageError(f"the filter field {name!r} takes one value, got {len(value)}")
    if is_own(name) and condition.least_score is None:
        return _own_test(name, op, value)
    if condition.least_score is not None and name != "labels":
        raise UsageError(f"only the filter field 'labels' takes a least score, got one of {name!r}")
    if name == ADDED:
        return _check_added(value)
    if name in KEYWORD_FIELDS:
        text = _check_text(name, value)
        test = Prefix(name, text) if op == "^=" else OneOf(name, (text,))
        least = condition.least_score
        return SureLabel(test, least, label_positions(least, objects=objects)) if least else test
    if name in DATETIME_FIELDS:
        return Times(name, parse_time(name, value).astimezone(UTC), _BOUNDS[op])
    return Numbers(name, _check_number(name, value), _BOUNDS[op])


def is_own(field: str) -> bool:
    """Whether it is a field of the user's own, whichever there are."""
    return _OWN_FIELD.fullmatch(field) is not None


def _own_test(name: str, op: str, value: str | int | float) -> Test:
    """The test of a field whose type only the points tell: by what `value` can be read as."""
    if op == "^=":
        return Prefix(name, _check_text(name, value))
    if op != "=":
        return Numbers(name, _check_number(name, _read_number(value)), _BOUNDS[op])
    tests: list[OneOf | Numbers] = []
    if isinstance(value, str):
        tests.append(OneOf(name, (_check_text(name, value),)))
    number = _read_number(value)
    if isinstance(number, int | float) and math.isfinite(number):
        tests.append(Numbers(name, float(number), _BOUNDS[op]))
    return tests[0] if len(tests) == 1 else AnyOf(tuple(tests))


def _read_number(value: str | int | float) -> str | int | float:
    """The number that a text spells, else the value as it is."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value


def _check_ids(value: object) -> Ids:
    ids = value if isinstance(value, tuple) else (value,)
    for each in ids:
        if not (isinstance(each, str) and (_UUID.fullmatch(each) or each.isdecimal())):
            raise UsageError(f"the filter field {OBJECT_ID!r} takes ids of objects, got {each!r}")
    return Ids(ids)


def _check_added(value: object) -> Numbers:
    if value not in ("true", "false"):
        raise UsageError(f"the filter field {ADDED!r} takes true or false, got {value!r}")
    return Numbers("ordinal", ADDED_ORDINAL, ("lte",) if value == "true" else ("gt",))


def label_positions(least_score: float, *, objects: bool) -> int:
    """How many of a point's labels can have a score of `least_score`, the surest first.

    The scores of an object's labels are shares of one; those of an image are of several objects.
    """
    return min(MOST_LABELS, max(1, math.ceil(1 / least_score) - 1)) if objects else MOST_LABELS


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the filter field {name!r} takes a text, got {value!r}")
    # As payloads are written: bytes that are not UTF-8 have become replacement characters.
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError as exc:
        raise UsageError(f"the filter field {name!r} takes a text, got {value!r}") from exc


def _check_number(name: str, value: object) -> float:
    whole = name in INTEGER_FIELDS
    try:
        if isinstance(value, int | float):
            number = float(value)
            if math.isfinite(number) and (not whole or number.is_integer()):
                return number
    except OverflowError:
        pass
    kind = "whole number" if whole else "finite number"
    raise UsageError(f"the filter field {name!r} takes a {kind}, got {value!r}")


def parse_time(name: str, value: object) -> datetime:
    """An ISO 8601 time, in UTC unless it names a zone. Raises UsageError for another value."""
    try:
        if not isinstance(value, str):
            raise ValueError(value)
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.astimezone(UTC)  # raises OverflowError outside of the years 1 to 9999
        return moment
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"the filter field {name!r} takes a time such as 2026-01-31T12:00:00Z, got {value!r}"
        ) from exc


def to_filter(where: PointFilter) -> models.Filter | None:
    """The same filter for a Qdrant server, None for one that every point meets."""
    from qdrant_client import models

    def condition(test: Test) -> models.Condition:
        match test:
            case OneOf(field, values):
                return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))
            case Prefix(field, prefix):
                return models.FieldCondition(key=field, match=models.MatchPrefix(prefix=prefix))
            case Numbers(field, value, bounds):
                numbers = models.Range(**dict.fromkeys(bounds, value))
                return models.FieldCondition(key=field, range=numbers)
            case Times(field, at, bounds):
                times = models.DatetimeRange(**dict.fromkeys(bounds, at))
                return models.FieldCondition(key=field, range=times)
            case Ids(ids):
                # Points of others may have numbers for ids.
                has_id: list[models.ExtendedPointId] = [
                    int(each) if each.isdecimal() else each for each in ids
                ]
                return models.HasIdCondition(has_id=has_id)
            case SureLabel(label):
                both = [
                    models.Filter(must=list(map(condition, tests))) for tests in test.alternatives()
                ]
                # That it is any label is indexed, whatever its place.
                return models.Filter(must=[condition(label)], should=[*both])
            case AnyOf(tests):
                return models.Filter(should=list(map(condition, tests)))

    if where == EVERY_POINT:
        return None
    return models.Filter(
        must=[condition(test) for test in where.must],
        must_not=[condition(test) for test in where.must_not],
    )


def to_edge_filter(where: PointFilter) -> edge.Filter | None:
    """The same filter for Qdrant Edge, None for one that every point meets."""
    import qdrant_edge as edge

    def condition(test: Test) -> edge.ConditionType:
        match test:
            case OneOf(field, (value,)):
                # A quarter less time for all points than one value among any.
                return edge.FieldCondition(key=field, match=edge.MatchValue(value))
            case OneOf(field, values):
                return edge.FieldCondition(key=field, match=edge.MatchAny(list(values)))
            case Prefix(field, prefix):
                return edge.FieldCondition(key=field, match=edge.MatchPrefix(prefix))
            case Numbers(field, value, bounds):
                numbers = edge.RangeFloat(**dict.fromkeys(bounds, value))
                return edge.FieldCondition(key=field, range=numbers)
            case Times(field, at, bounds):
                times = edge.RangeDateTime(**dict.fromkeys(bounds, at.isoformat()))
                return edge.FieldCondition(key=field, range=times)
            case Ids(ids):
                return edge.HasIdCondition(set(ids))
            case SureLabel(label):
                both = [
                    edge.Filter(must=list(map(condition, tests))) for tests in test.alternatives()
                ]
                return edge.Filter(must=[condition(label)], should=[*both])
            case AnyOf(tests):
                return edge.Filter(should=list(map(condition, tests)))

    if where == EVERY_POINT:
        return None
    return edge.Filter(
        must=[condition(test) for test in where.must],
        must_not=[condition(test) for test in where.must_not],
    )
