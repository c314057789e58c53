"""Counts points by those of their labels that are sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.payload import FIRST_LABEL, FIRST_LABEL_SCORE
from schemas.points import FacetCount
from schemas.search import Condition
from workers.indexes.filters import Numbers, PointFilter, label_positions, point_filter
from workers.indexes.operations import PointOperations

_OBJECTS = Condition(field="kind", op="=", value="object")


def most_frequent(counts: Mapping[str, int], limit: int) -> list[FacetCount]:
    """The first `limit` values, most points first, then by name."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [FacetCount(value, count) for value, count in ordered[:limit]]


def count_sure_labels(
    index: PointOperations, conditions: Sequence[Condition], limit: int, least_score: float
) -> list[FacetCount]:
    """The `limit` most frequent labels among those with a score of at least `least_score`.

    `conditions` are those of the points; one on labels says itself which of them count.
    """
    objects = _OBJECTS in conditions
    if label_positions(least_score, objects=objects) == 1 and index.counts_first_labels():
        where = point_filter(conditions)
        sure = Numbers(FIRST_LABEL_SCORE, least_score, ("gte",))
        first = PointFilter((*where.must, sure), where.must_not)
        return most_frequent(index.count_values(FIRST_LABEL, first), limit)
    return _count_each(index, conditions, limit, least_score)


def _count_each(
    index: PointOperations, conditions: Sequence[Condition], limit: int, least_score: float
) -> list[FacetCount]:
    """As `count_sure_labels`, by a count for each label that may be among the first.

    As many points as have a label at all are the most that can have it surely.
    """
    guesses = index.count_values("labels", point_filter(conditions))
    counts: dict[str, int] = {}
    for label, most in sorted(guesses.items(), key=lambda item: (-item[1], item[0])):
        best = most_frequent(counts, limit)
        if len(best) == limit and most < best[-1].count:
            break
        sure = Condition(field="labels", op="=", value=label, least_score=least_score)
        if count := index.count_points(point_filter((*conditions, sure))):
            counts[label] = count
    return most_frequent(counts, limit)
