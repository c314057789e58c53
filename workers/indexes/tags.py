"""Reads the tags of points, plans changes of them, and keeps them where points are written anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.points import Point
from schemas.tags import TAGS, ChangeTags, Tags
from workers.indexes.filters import Ids, OneOf, PointFilter
from workers.indexes.operations import PointOperations


def tags_of(payload: Mapping[str, Any]) -> Tags:
    """The tags in a payload as an index holds it."""
    return tuple(map(str, payload.get(TAGS) or ()))


@dataclass(frozen=True, slots=True)
class PlannedTags:
    """The tags that points are to have by id, and those of them that have others now."""

    tags: Mapping[str, Tags]
    changed: Mapping[str, Tags]


def plan_tags(points: Iterable[Point], change: ChangeTags) -> PlannedTags:
    """What `change` makes of the tags of points."""
    before = {point.id: tags_of(point.payload) for point in points}
    after = {name: change(name, tags) for name, tags in before.items()}
    changed = {name: tags for name, tags in after.items() if tags != before[name]}
    return PlannedTags(after, changed)


def read_tags(index: PointOperations, which: OneOf | Ids) -> dict[str, Tags]:
    """The tags of those points that have any, by id."""
    # Few points have tags, and most indexes none: then nothing is read.
    values = index.count_values(TAGS, PointFilter(must=(which,)))
    if not values:
        return {}
    tagged = PointFilter(must=(which, OneOf(TAGS, tuple(values))))
    return {point.id: tags_of(point.payload) for point in index.read_points(tagged, ())}


def keep_tags(points: Sequence[Point], kept: Mapping[str, Tags]) -> list[Point]:
    """Points with the tags that their ids had; those that bring tags of their own keep these."""
    return [
        replace(point, payload={**point.payload, TAGS: list(kept[point.id])})
        if point.id in kept and not point.payload.get(TAGS)
        else point
        for point in points
    ]
