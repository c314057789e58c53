"""Ranks objects for a text by one sum: nearness, the mask, the labels, and words."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import replace

from schemas.points import NO_SHARE, IndexQuery, Point, ScoredPoint, TextSum, WordShares
from schemas.records import WORDS_NAME
from workers.indexes.bm25 import share_of_words
from workers.indexes.filters import PointFilter
from workers.indexes.operations import PointOperations


def rank_for_text(
    index: PointOperations, query: IndexQuery, weights: TextSum, where: PointFilter, pool: int
) -> tuple[list[ScoredPoint], bool]:
    """The `pool` nearest points and the first `pool` by words, best first; whether it is all.

    Ranked by the sum that `weights` make, ties by id; their score is the cosine, of at least the
    query's `min_score`. Where a point has no `label_logsumexp` it counts for none: those that have
    it would fall behind those that do not.
    """
    least = -math.inf if query.min_score is None else query.min_score
    nearest = index.find_nearest(query.require_vector(), where, pool, None, exact=query.exact)
    points = [point for point in nearest if point.score >= least]
    is_all = len(points) < pool
    if query.words is not None and index.has_words() and not is_all:
        known = {point.id for point in points}
        by_words = index.find_by_sparse(WORDS_NAME, query.words, where, pool)
        others = [identity for identity, _ in by_words if str(identity) not in known]
        found = _score(index.retrieve(others) if others else [], query)
        points += [point for point in found if point.score >= least]
    if any(_number(point, "label_logsumexp") is None for point in points):
        weights = replace(weights, label_logsumexp=0.0)
    shares = _read_shares(index, points, weights)
    sums = {
        point.id: weights.add_up(
            point.score,
            _number(point, "predicted_iou"),
            _number(point, "label_logsumexp"),
            shares.get(point.id, NO_SHARE),
        )
        for point in points
    }
    return sorted(points, key=lambda point: (-sums[point.id], point.id)), is_all


def _score(points: Sequence[Point], query: IndexQuery) -> list[ScoredPoint]:
    vector = query.require_vector()
    return [
        ScoredPoint(point.id, point.payload, score=float(point.vector @ vector))
        for point in points
        if point.vector is not None
    ]


def _read_shares(
    index: PointOperations, points: Sequence[ScoredPoint], weights: TextSum
) -> dict[str, WordShares]:
    """By id, how much of the text's words the points have; nothing where it does not count."""
    if not (weights.counts_words and index.has_words() and points):
        return {}
    uris = {point.id: str(point.payload.get("uri", "")) for point in points}
    ids = [uuid.UUID(point.id) for point in points if _is_uuid(point.id)]
    return {
        point.id: share_of_words(weights.text, point.words, uris[point.id])
        for point in index.retrieve_vectors(ids, [WORDS_NAME])
        if point.words is not None
    }


def _is_uuid(point_id: str) -> bool:
    # A number is the id of a point that objseek has not written.
    return not point_id.isdecimal()


def _number(point: Point, field: str) -> float | None:
    """A number of the payload as it is stored; None where there is none."""
    value = point.payload.get(field)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
