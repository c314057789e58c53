"""Parses filter texts, as a user types them (`area_frac>0.05`), into conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.search.map_conditions import read_region
from schemas.errors import UsageError
from schemas.map_region import ON_MAP
from schemas.payload import DATETIME_FIELDS, FLOAT_FIELDS, INTEGER_FIELDS
from schemas.search import Condition
from workers.indexes.filters import OBJECT_ID, check_operator, parse_time, point_filter

# Longer operators first; `==` means `=`, so a value that itself begins with "=" comes after it.
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(==|!=|<=|>=|\^=|=|<|>)(.*)", re.DOTALL)


def looks_like_condition(text: str) -> bool:
    """Whether `text` is a name followed by an operator, unlike any words to search for."""
    return _CONDITION.match(text) is not None


def parse_condition(text: str) -> Condition:
    """The condition that `text` states: a field, one of `= != < <= > >= ^=`, and a value.

    `^=` is "begins with". Texts take `= != ^=`; numbers and times all but `^=`. Values are taken
    as they stand, without quotes, less the blanks around them; a time is ISO 8601, in UTC unless
    it names a zone; ids take `=`, several of them commas between. Raises UsageError that names the
    field, the operator or the value that cannot be used.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"expected a filter such as 'area_frac>0.05' (a field, one of = != < <= > >= ^=, "
            f"a value), got {text!r}"
        )
    field, op, value = match[1], match[2].replace("==", "="), match[3].strip()
    if field != ON_MAP:
        check_operator(field, op)
    if not value:
        raise UsageError(f"the filter {text!r} has no value")
    condition = Condition.model_validate(
        {"field": field, "op": op, "value": _convert(field, value)}
    )
    if field == ON_MAP:
        read_region(condition)
    else:
        point_filter([condition])
    return condition


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """All of `texts`, in their order; every condition has to hold. Raises UsageError."""
    return tuple(parse_condition(text) for text in texts)


def _convert(field: str, text: str) -> str | int | float | tuple[str, ...]:
    """`text` as a value of the field's type, or as it stands, for `point_filter` to refuse."""
    if field == OBJECT_ID:
        return tuple(each.strip() for each in text.split(","))
    if field in DATETIME_FIELDS:
        return parse_time(field, text).isoformat()
    try:
        if field in INTEGER_FIELDS:
            return int(text)
        return float(text) if field in FLOAT_FIELDS else text
    except ValueError:
        return text
