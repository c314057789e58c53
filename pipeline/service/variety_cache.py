"""Keeps the varieties of objects that were chosen lately: whoever comes back finds the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from cachetools import TTLCache

from pipeline.search.searcher import Searcher
from pipeline.search.variety import choose_variety
from schemas.api import ObjectAnswer
from schemas.errors import VectorIndexError
from schemas.points import Point
from schemas.search import Condition
from schemas.tags import TAGS

_KEPT, _KEPT_S = 64, 600
Key = tuple[str, int, int, int, tuple[str, ...], int]


class VarietyCache:
    """To be used on the thread that owns the searcher."""

    def __init__(self) -> None:
        self._kept: TTLCache[Key, tuple[uuid.UUID, ...]] = TTLCache(_KEPT, _KEPT_S)

    def choose(
        self, searcher: Searcher, limit: int, turn: int, conditions: Sequence[Condition]
    ) -> tuple[ObjectAnswer, ...]:
        """Up to `limit` objects under all conditions; another `turn` gives others.

        The same for ten minutes, as they are now: unless the index has changed, or one of them is
        gone, or tags were given that conditions are on. Raises UsageError.
        """
        texts = tuple(condition.model_dump_json() for condition in conditions)
        by_tags = any(condition.field == TAGS for condition in conditions)
        changes = searcher.refreshes if by_tags else 0
        key = (searcher.generation, searcher.info.points, limit, turn, texts, changes)
        ids = self._kept.get(key)
        if ids is not None:
            there = searcher.index.stored(ids)
            if len(there) == len(ids):
                return _answer(searcher, (there[each] for each in ids))
        chosen = _answer(searcher, choose_variety(searcher, limit, conditions))
        self._kept[key] = tuple(uuid.UUID(each.object_id) for each in chosen)
        return chosen


def _answer(searcher: Searcher, points: Iterable[Point]) -> tuple[ObjectAnswer, ...]:
    answers = []
    for point in points:
        try:
            answers.append(ObjectAnswer(object_id=point.id, payload=point.parse_payload()))
        except VectorIndexError as exc:
            searcher.index.note_broken(point.id, str(exc))
    return tuple(answers)
