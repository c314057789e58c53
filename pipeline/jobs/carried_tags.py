"""Carries tags from one generation of an index to the next, whose points have other ids."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.points import Point
from schemas.search import Condition
from schemas.tags import TAGS, Tags
from workers.protocols import VectorIndex

_MOST_TAGS = 10_000  # of an index, by name


def carry_tags(before: VectorIndex, now: VectorIndex) -> None:
    """Give the points of a generation the tags of what they show in the one before.

    That is what has the same mask in the same image; of whole images and shots the image or shot.
    What is not tagged there is not tagged here either.
    """
    tagged: dict[str, list[Point]] = defaultdict(list)
    for point in list_tagged(before):
        tagged[point.payload["image_id"]].append(point)
    wanted: dict[str, Tags] = {point.id: () for point in list_tagged(now)}
    for image, points in tagged.items():
        condition = Condition(field="image_id", op="=", value=image)
        others = list(now.scroll([condition]))
        for point in points:
            same = _find_same(point, others)
            if same is not None:
                wanted[same.id] = tuple(point.payload[TAGS])
    now.change_tags([*map(uuid.UUID, wanted)], lambda name, _: wanted[name])


def list_tagged(index: VectorIndex) -> Iterator[Point]:
    """The points that have tags, each once."""
    tags = index.facet(TAGS, limit=_MOST_TAGS)
    if len(tags) == _MOST_TAGS:  # there may be more than are told
        yield from (point for point in index.scroll() if point.payload.get(TAGS))
        return
    seen: set[str] = set()
    for tag in tags:
        for point in index.scroll([Condition(field=TAGS, op="=", value=tag.value)]):
            if point.id not in seen:
                seen.add(point.id)
                yield point


def _find_same(point: Point, others: Sequence[Point]) -> Point | None:
    """The point that shows the same; of several masks that are alike that of the nearest number."""
    ordinal = point.payload["ordinal"]
    same = [other for other in others if _shape(other) == _shape(point)]
    return min(same, key=lambda each: abs(each.payload["ordinal"] - ordinal), default=None)


def _shape(point: Point) -> tuple[Any, ...]:
    kind, rle = point.payload["kind"], point.payload.get("rle") or {}
    return kind, rle.get("counts"), point.payload.get("shot") if kind == "image" else None
