"""Keeps the varieties of objects that were chosen lately: whoever comes back finds the same."""

from __future__ import annotations

from collections.abc import Sequence

from cachetools import TTLCache

from pipeline.search.searcher import Searcher
from pipeline.search.variety import choose_variety
from schemas.api import ObjectAnswer
from schemas.errors import VectorIndexError
from schemas.search import Condition

_KEPT, _KEPT_S = 64, 600
Key = tuple[str, int, int, int, tuple[str, ...]]


class VarietyCache:
    """To be used on the thread that owns the searcher."""

    def __init__(self) -> None:
        self._kept: TTLCache[Key, tuple[ObjectAnswer, ...]] = TTLCache(_KEPT, _KEPT_S)

    def forget(self) -> None:
        """Choose anew from now on."""
        self._kept.clear()

    def choose(
        self, searcher: Searcher, limit: int, turn: int, conditions: Sequence[Condition]
    ) -> tuple[ObjectAnswer, ...]:
        """Up to `limit` objects under all conditions; another `turn` gives others.

        The same for ten minutes, unless the index has changed. Raises UsageError.
        """
        texts = tuple(condition.model_dump_json() for condition in conditions)
        key = (searcher.generation, searcher.info.points, limit, turn, texts)
        chosen = self._kept.get(key)
        if chosen is None:
            chosen = self._kept[key] = _choose(searcher, limit, conditions)
        return chosen


def _choose(
    searcher: Searcher, limit: int, conditions: Sequence[Condition]
) -> tuple[ObjectAnswer, ...]:
    answers = []
    for point in choose_variety(searcher, limit, conditions):
        try:
            answers.append(ObjectAnswer(object_id=point.id, payload=point.parse_payload()))
        except VectorIndexError as exc:
            searcher.index.note_broken(point.id, str(exc))
    return tuple(answers)
