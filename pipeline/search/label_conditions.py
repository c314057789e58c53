"""Completes conditions on labels: which labels are sure enough to be taken for what is there."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.search import Condition


def require_sure_labels(
    conditions: Iterable[Condition], least_score: float
) -> tuple[Condition, ...]:
    """`conditions`, those on labels with `least_score` unless they have one of their own."""
    return tuple(
        condition.model_copy(update={"least_score": least_score})
        if condition.field == "labels" and condition.least_score is None
        else condition
        for condition in conditions
    )
