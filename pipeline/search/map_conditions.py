"""Completes conditions on parts of the map: which objects lie there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from schemas.errors import UsageError
from schemas.map_region import ON_MAP, MapRegion, find_within
from schemas.object_map import ObjectMap
from schemas.search import MAX_IDS, Condition
from workers.indexes.filters import OBJECT_ID

_MOST_KEPT = 16
Regions = dict[MapRegion, Condition]
"""Conditions on ids by the regions that they stand for."""


def read_region(condition: Condition) -> MapRegion:
    """The part of the map that a condition on `on_map` means. Raises UsageError."""
    if condition.op != "=" or not isinstance(condition.value, str):
        got = f"{condition.op} {condition.value!r}"
        raise UsageError(f"the filter field {ON_MAP!r} takes = and a text, got {got}")
    return MapRegion.parse(condition.value)


def name_objects(
    conditions: Iterable[Condition], read_map: Callable[[], ObjectMap | None], known: Regions
) -> tuple[Condition, ...]:
    """`conditions`, those on the map as conditions on the ids of the objects there.

    What was found is added to `known`, as an answer takes many counts. Raises UsageError if there
    is no map, or it is another one, and what `read_map` raises.
    """
    return tuple(
        _find_objects(read_region(condition), read_map, known)
        if condition.field == ON_MAP
        else condition
        for condition in conditions
    )


def _find_objects(
    region: MapRegion, read_map: Callable[[], ObjectMap | None], known: Regions
) -> Condition:
    if region not in known:
        made = read_map()
        if made is None:
            raise UsageError("objects were chosen on a map, of this index there is none")
        if int(made.made_at.timestamp()) != region.made_at_s:
            raise UsageError(
                "objects were chosen on a map that was made anew since: choose them on the new one"
            )
        within = made.ids[find_within(made.positions, region.corners)]
        if len(within) > MAX_IDS:
            raise UsageError(
                f"expected a part of the map with at most {MAX_IDS:,} objects, {len(within):,} lie "
                "there"
            )
        ids = tuple(str(uuid.UUID(bytes=each.tobytes())) for each in within)
        if len(known) >= _MOST_KEPT:
            known.pop(next(iter(known)))
        known[region] = Condition.model_construct(
            field=OBJECT_ID, op="=", value=ids, least_score=None
        )
    return known[region]
