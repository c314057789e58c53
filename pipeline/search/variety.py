"""Chooses objects that show how much of everything an index holds: a sample, made diverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.search.searcher import Searcher
from schemas.points import Point
from schemas.search import Condition

_SAMPLED, _MOST_SAMPLED = 8, 800
"""Times as many as are wanted, and how many at most: each is read with its vector and its mask."""
_WORTH = 0.3
"""What an object is worth counts so much, how unlike it is to those before it the rest."""
_SHARP_PX = 160
_UNKNOWN = 0.5  # an object is what its label says, where nothing is known of that
_BACKGROUND = 0.6  # of the image: hardly an object


def choose_variety(searcher: Searcher, limit: int, conditions: Sequence[Condition]) -> list[Point]:
    """Up to `limit` objects under all conditions, with their vectors, the most telling first.

    They are of a sample taken at random: another call chooses others. Raises UsageError.
    """
    objects = [*searcher.complete(conditions), Condition(field="kind", op="=", value="object")]
    if len(searcher.info.embedders) > 1:
        objects.append(Condition(field="embedder", op="=", value=searcher.embedder_name))
    sampled = searcher.index.sample(min(_SAMPLED * limit, _MOST_SAMPLED), objects)
    points = [point for point in sampled if point.vector is not None]
    if not points:
        return []
    vectors = np.stack([point.vector for point in points if point.vector is not None])
    worth = np.array([_measure_worth(point.payload) for point in points])
    return [points[number] for number in rank_by_variety(vectors, worth, limit)]


def rank_by_variety(
    vectors: npt.NDArray[np.float32], worth: npt.NDArray[np.float64], limit: int
) -> list[int]:
    """The numbers of up to `limit` rows, by maximal marginal relevance.

    Each is the one of the greatest weighed sum of its `worth` (n,), 0 to 1, and its distance from
    the nearest of those before it; `vectors` is (n, dim).
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    nearest = np.full(len(units), -1.0)  # cosine
    left = np.ones(len(units), np.bool_)
    order: list[int] = []
    for _ in range(min(limit, len(units))):
        gain = _WORTH * worth + (1 - _WORTH) * (1 - nearest) / 2
        chosen = int(np.argmax(np.where(left, gain, -np.inf)))
        order.append(chosen)
        left[chosen] = False
        nearest = np.maximum(nearest, units @ units[chosen])
    return order


def _measure_worth(payload: Mapping[str, Any]) -> float:
    """How well a picture of an object shows what it is, 0 to 1: sharply, and as what it is."""
    match payload.get("bbox"):
        case [int() | float() as x0, int() | float() as y0, int() | float() as x1,
              int() | float() as y1]:  # fmt: skip
            sharp = min(1.0, max(x1 - x0, y1 - y0) / _SHARP_PX)
        case _:
            return 0.0
    if (payload.get("area_frac") or 0.0) > _BACKGROUND:
        return 0.0
    scores = payload.get("label_scores") or [payload.get("segmenter_score")]
    sure = scores[0] if isinstance(scores[0], int | float) else _UNKNOWN
    return float(sharp * sure)
