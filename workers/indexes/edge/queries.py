"""Builds Qdrant Edge queries: the nearest by four bits, by words, by examples, and fused."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from schemas.points import IndexQuery, Point, SparseVector
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Vector
from schemas.thumbnails import THUMBNAIL
from workers.indexes.edge.vectors import to_sparse
from workers.indexes.filters import Ids, OneOf, PointFilter, to_edge_filter
from workers.indexes.points import RRF_K

# So many more points are compared by their whole vectors.
_OVERSAMPLED = 20
_IS_AN_OBJECT = OneOf("kind", ("object",))
_EXACT = edge.SearchParams(exact=True)
WITHOUT_THUMBNAIL = edge.PayloadSelector.Exclude([THUMBNAIL])
_IN_FOUR_BITS = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=False))

Usual = tuple[OneOf | Ids, ...]
"""Tests that nearly every point meets."""


def nearest_request(
    vector: Float32Vector,
    where: PointFilter,
    limit: int,
    threshold: float | None,
    *,
    exact: bool = False,
    name: str = VECTOR_NAME,
) -> edge.QueryRequest:
    """The `limit` nearest points above `threshold`, with their payloads but the thumbnails."""
    near = _nearest_fields(vector, where, 2 * limit + _OVERSAMPLED, exact=exact, name=name)
    return edge.QueryRequest(
        limit=limit, score_threshold=threshold, with_payload=WITHOUT_THUMBNAIL, **near
    )


def neighbour_request(
    vector: Float32Vector, where: PointFilter, limit: int, threshold: float
) -> edge.QueryRequest:
    """As `nearest_request`, without payloads."""
    near = _nearest_fields(vector, where, 2 * limit + _OVERSAMPLED)
    return edge.QueryRequest(limit=limit, score_threshold=threshold, **near)


def sparse_request(
    name: str, vector: SparseVector, where: PointFilter, limit: int
) -> edge.QueryRequest:
    """The first `limit` points by their sparse vectors of that name, without payloads."""
    near = edge.Query.Nearest(to_sparse(vector), using=name)
    return edge.QueryRequest(limit=limit, query=near, filter=to_edge_filter(where))


def sample_request(where: PointFilter, limit: int) -> edge.QueryRequest:
    """Points chosen at random, with their vectors and their payloads but the thumbnails."""
    return edge.QueryRequest(
        limit=limit,
        query=edge.Sample.Random,
        filter=to_edge_filter(where),
        with_payload=WITHOUT_THUMBNAIL,
        with_vector=[VECTOR_NAME],
    )


def ranking_request(query: IndexQuery, where: PointFilter, pool: int) -> edge.QueryRequest:
    """The first `pool` points, without payloads, as `query` ranks them."""
    filtered = to_edge_filter(where)
    # Points of the pool that four bits miss would rank far down.
    vector = query.require_vector()
    request = _nearest_fields(vector, where, pool + 2 * _OVERSAMPLED)
    if query.liked is not None:
        disliked = [] if query.disliked is None else query.disliked.tolist()
        examples = edge.RecommendQuery(query.liked.tolist(), disliked)
        best = edge.Query.RecommendBestScore(examples, using=VECTOR_NAME)
        request = {"query": best, "filter": filtered, "params": _IN_FOUR_BITS}
    if query.words is not None:
        by_words = edge.Query.Nearest(to_sparse(query.words), using=WORDS_NAME)
        both = [
            edge.Prefetch(limit=pool, **request),
            edge.Prefetch(limit=pool, query=by_words, filter=filtered),
        ]
        request = {"query": edge.Fusion.Rrf(k=RRF_K), "prefetches": both}
    if query.diversity:
        before = [edge.Prefetch(limit=pool, **request)]
        mmr = edge.Mmr(vector.tolist(), 1 - query.diversity, pool, using=VECTOR_NAME)
        request = {"query": mmr, "prefetches": before}
    return edge.QueryRequest(limit=pool, **request)


def _nearest_fields(
    vector: Float32Vector,
    where: PointFilter,
    candidates: int,
    *,
    exact: bool = False,
    name: str = VECTOR_NAME,
) -> dict[str, Any]:
    """The request's fields for the nearest by whole vectors among `candidates` by four bits.

    Not left to the engine's own rescoring, which rescores as many in every segment.
    """
    near = edge.Query.Nearest(vector.tolist(), using=name)
    filtered = to_edge_filter(where)
    if exact:
        return {"query": near, "filter": filtered, "params": _EXACT}
    roughly = edge.Prefetch(limit=candidates, query=near, filter=filtered, params=_IN_FOUR_BITS)
    return {"query": near, "prefetches": [roughly], "params": _EXACT}


def usual_tests(where: PointFilter) -> Usual:
    """The tests of a filter that nearly every point meets: an object, and not one of a few ids."""
    named = tuple(test for test in where.must_not if isinstance(test, Ids))
    return (*((_IS_AN_OBJECT,) if _IS_AN_OBJECT in where.must else ()), *named)


def without_usual_tests(where: PointFilter) -> PointFilter:
    """The filter without its `usual_tests`."""
    return PointFilter(
        tuple(test for test in where.must if test != _IS_AN_OBJECT),
        tuple(test for test in where.must_not if not isinstance(test, Ids)),
    )


def max_failing(usual: Usual) -> int:
    """How many points may fail these tests because of their ids."""
    return sum(len(test.ids) for test in usual if isinstance(test, Ids))


def meets(point: Point, usual: Usual) -> bool:
    """Whether a point meets all of these tests."""
    return all(
        point.id not in test.ids
        if isinstance(test, Ids)
        else point.payload.get(test.field) in test.values
        for test in usual
    )
