"""Ranks points as Qdrant's queries do: fused with words, by examples, and varied."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from schemas.points import IndexQuery
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Matrix, Float32Vector
from workers.indexes.filters import PointFilter
from workers.indexes.fusion import fuse_ranks, vary
from workers.indexes.points import RRF_K

if TYPE_CHECKING:
    from workers.indexes.lance.index import LanceIndex


def rank(index: LanceIndex, query: IndexQuery, where: PointFilter, pool: int) -> list[uuid.UUID]:
    """The ids of the first `pool` points, in the order in which `query` ranks them."""
    if query.liked is None:
        ranked = _nearest(index, query.require_vector(), where, pool)
    else:
        ranked = _by_examples(index, query, where, pool)
    if query.words is not None:
        by_words = index.find_by_sparse(WORDS_NAME, query.words, where, pool)
        lists = [ranked, [identity for identity, _ in by_words]]
        ranked = fuse_ranks(lists, (1.0, 1.0), RRF_K)
    ranked = ranked[:pool]
    return _vary(index, query, ranked) if query.diversity else ranked


def _nearest(
    index: LanceIndex, vector: Float32Vector, where: PointFilter, limit: int
) -> list[uuid.UUID]:
    return [uuid.UUID(point.id) for point in index.find_nearest(vector, where, limit, None)]


def _by_examples(
    index: LanceIndex, query: IndexQuery, where: PointFilter, pool: int
) -> list[uuid.UUID]:
    """By the best score over liked against disliked, as Qdrant's `best_score` does it.

    A point nearer to what is liked than to what is not scores the sigmoid of that cosine, others
    minus that of the other. So the first are among the nearest to each that is liked.
    """
    assert query.liked is not None
    found = dict.fromkeys(
        identity
        for vector in query.liked
        for identity in _nearest(index, vector / np.linalg.norm(vector), where, pool)
    )
    ids, vectors = _vectors(index, list(found))
    liked = _cosines(vectors, query.liked).max(axis=1)
    scores = _sigmoid(liked)
    if query.disliked is not None and len(query.disliked):
        disliked = _cosines(vectors, query.disliked).max(axis=1)
        np.copyto(scores, -_sigmoid(disliked), where=liked <= disliked)
    order = sorted(range(len(ids)), key=lambda place: (-scores[place], str(ids[place])))
    return [ids[place] for place in order]


def _sigmoid(values: Float32Vector) -> Float32Vector:
    # Qdrant's own, which is cheaper than the logistic function.
    result: Float32Vector = (0.5 * (values / (1.0 + np.abs(values)) + 1.0)).astype(np.float32)
    return result


def _vary(index: LanceIndex, query: IndexQuery, ranked: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    ids, vectors = _vectors(index, ranked)
    return [ids[row] for row in vary(vectors @ query.require_vector(), vectors, query.diversity)]


def _vectors(
    index: LanceIndex, wanted: Sequence[uuid.UUID]
) -> tuple[list[uuid.UUID], Float32Matrix]:
    """Those of the ids that have a vector, in their order, and float32 (n, dim)."""
    found = {
        uuid.UUID(point.id): point.vector
        for point in index.retrieve_vectors(wanted, [VECTOR_NAME])
        if point.vector is not None
    }
    ids = [identity for identity in wanted if identity in found]
    rows = np.array([found[identity] for identity in ids], np.float32)
    return ids, rows.reshape(len(ids), index.dim)


def _cosines(rows: Float32Matrix, others: Float32Matrix) -> Float32Matrix:
    unit = others / np.linalg.norm(others, axis=1, keepdims=True)
    cosines: Float32Matrix = rows @ unit.T
    return cosines
