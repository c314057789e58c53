"""Ranks points by sparse vectors of the user's own, alone or fused with what else is known."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.points import IndexQuery, ScoredPoint, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME, Float32Vector
from workers.batching import batched
from workers.indexes.filters import PointFilter
from workers.indexes.fusion import fuse_ranks, vary
from workers.indexes.operations import PointOperations
from workers.indexes.points import RRF_K

_MAX_IDS = 1000  # of a request


def fetch_by_sparse(
    index: PointOperations, query: IndexQuery, where: PointFilter, limit: int
) -> list[ScoredPoint]:
    """The first `limit` points by the query's sparse vector; their score is the dot product.

    Of at least the query's `min_score`. With payloads, but for the thumbnails.
    """
    scores = dict(index.find_by_sparse(SPARSE_NAME, _sparse_of(query), where, limit))
    least = -np.inf if query.min_score is None else query.min_score
    ids = [identity for identity, score in scores.items() if score >= least]
    points = (point for batch in batched(ids, _MAX_IDS) for point in index.retrieve(batch))
    return [
        ScoredPoint(point.id, point.payload, score=scores[uuid.UUID(point.id)]) for point in points
    ]


def rank_fused(
    index: PointOperations, query: IndexQuery, where: PointFilter, pool: int
) -> list[uuid.UUID]:
    """The first `pool` points of a query with a sparse vector, as `PointOperations.rank` has them.

    By weighted reciprocal rank fusion of the first `pool` by nearness, by words and by the sparse
    vector, as far as the query has these.
    """
    lists: list[Sequence[uuid.UUID]] = []
    weights: list[float] = []
    if query.vector is not None:
        dense = replace(query, words=None, sparse=None, text_sum=None, diversity=0.0)
        lists.append(index.rank(dense, where, pool))
        weights.append(query.fusion.vector)
    by_terms = (
        (WORDS_NAME, query.words if index.has_words() else None, query.fusion.words),
        (SPARSE_NAME, query.sparse, query.fusion.sparse),
    )
    for name, vector, weight in by_terms:
        if vector is not None:
            found = index.find_by_sparse(name, vector, where, pool)
            lists.append([identity for identity, _ in found])
            weights.append(weight)
    fused = fuse_ranks(lists, weights, RRF_K)[:pool]
    return _vary(index, query, fused) if query.diversity else fused


def score_by_sparse(
    index: PointOperations, query: IndexQuery, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, float]:
    """The dot products of points' sparse vectors with the query's; 0 without a term in common."""
    wanted = _sparse_of(query)
    scores = dict.fromkeys(ids, 0.0)
    for batch in batched(ids, _MAX_IDS):
        for point in index.retrieve_vectors(batch, [SPARSE_NAME]):
            if point.sparse is not None:
                scores[uuid.UUID(point.id)] = dot(wanted, point.sparse)
    return scores


def dot(first: SparseVector, second: SparseVector) -> float:
    """The dot product of two sparse vectors, each index of which stands once."""
    _, ours, theirs = np.intersect1d(
        first.indices, second.indices, assume_unique=True, return_indices=True
    )
    return float(first.values[ours] @ second.values[theirs])


def _vary(index: PointOperations, query: IndexQuery, ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Ranked points in an order of more variety, but those without a sound vector."""
    vectors: dict[uuid.UUID, Float32Vector] = {}
    for batch in batched(ids, _MAX_IDS):
        for point in index.retrieve_vectors(batch, [VECTOR_NAME]):
            if point.vector is not None and np.isfinite(point.vector).all():
                vectors[uuid.UUID(point.id)] = point.vector
    kept = [identity for identity in ids if identity in vectors]
    if not kept:
        return []
    rows = np.stack([vectors[identity] for identity in kept])
    if query.vector is not None:
        relevance = rows @ query.vector
    else:
        # On the scale of cosines: as shares of the largest.
        scores = score_by_sparse(index, query, kept)
        relevance = np.array([scores[identity] for identity in kept], np.float32)
        relevance /= np.abs(relevance).max() or 1.0
    return [kept[row] for row in vary(relevance, rows, query.diversity)]


def _sparse_of(query: IndexQuery) -> SparseVector:
    if query.sparse is None:
        raise ValueError("expected a query with a sparse vector, got one without")
    return query.sparse
