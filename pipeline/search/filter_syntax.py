"""Filter texts, as a user types them (`area_frac>0.05`), to conditions on payload fields."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.errors import UsageError
from schemas.payload import DATETIME_FIELDS, FLOAT_FIELDS, INTEGER_FIELDS, KEYWORD_FIELDS
from schemas.search import Condition

FIELDS = (*KEYWORD_FIELDS, *INTEGER_FIELDS, *FLOAT_FIELDS, *DATETIME_FIELDS)
# Longer operators first; `==` means `=`, so a value that itself begins with "=" comes after it.
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(==|!=|<=|>=|\^=|=|<|>)(.*)", re.DOTALL)
_OPERATORS = {"text": ("=", "!=", "^="), "number": ("=", "!=", "<", "<=", ">", ">=")}


def looks_like_condition(text: str) -> bool:
    """Whether `text` is a name followed by an operator, as no words to search for would be."""
    return _CONDITION.match(text) is not None


def parse_condition(text: str) -> Condition:
    """The condition that `text` states: a field, one of `= != < <= > >= ^=`, and a value.

    `^=` is "begins with". Texts take `= != ^=`; numbers and times all but `^=`. Values are taken as
    they stand, without quotes, less the blanks around them; a time is ISO 8601, in UTC unless it
    says otherwise. Raises
    UsageError that names the field, the operator or the value that is not understood.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"expected a filter such as 'area_frac>0.05' (a field, one of = != < <= > >= ^=, "
            f"a value), got {text!r}"
        )
    field, op, value = match[1], match[2].replace("==", "="), match[3].strip()
    if field not in FIELDS:
        raise UsageError(f"unknown filter field {field!r}, expected one of {', '.join(FIELDS)}")
    allowed = _OPERATORS["text" if field in KEYWORD_FIELDS else "number"]
    if op not in allowed:
        raise UsageError(
            f"the filter field {field!r} takes {' '.join(allowed)}, got {op!r} in {text!r}"
        )
    if not value:
        raise UsageError(f"the filter {text!r} has no value")
    return Condition.model_validate({"field": field, "op": op, "value": _value(field, value)})


def parse_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """All of `texts`, in their order; every condition has to hold. Raises UsageError."""
    return tuple(parse_condition(text) for text in texts)


def _value(field: str, text: str) -> str | int | float:
    try:
        if field in INTEGER_FIELDS:
            return int(text)
        if field in FLOAT_FIELDS:
            number = float(text)
            if not math.isfinite(number):
                raise ValueError(text)
            return number
        if field in DATETIME_FIELDS:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except ValueError as exc:
        kind = "a whole number" if field in INTEGER_FIELDS else "a number"
        if field in DATETIME_FIELDS:
            kind = "a date or time such as 2026-01-31T12:00"
        raise UsageError(f"the filter field {field!r} takes {kind}, got {text!r}") from exc
    return text
