"""What is asked of Qdrant Edge: the nearest in four bits, words, examples, and how they rank."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Vector
from schemas.search import IndexQuery, Words
from workers.indexes.filters import Ids, OneOf, PointFilter, to_edge_filter
from workers.indexes.points import RRF_K, Found

# Points that are looked at in whole numbers besides.
_OVERSAMPLED = 20
_IS_AN_OBJECT = OneOf("kind", ("object",))
_EXACT = edge.SearchParams(exact=True)
_IN_FOUR_BITS = edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=False))

Usual = tuple[OneOf | Ids, ...]
"""Tests that nearly every point meets."""


def nearest(
    vector: Float32Vector,
    where: PointFilter,
    limit: int,
    threshold: float | None,
    *,
    exact: bool = False,
) -> edge.QueryRequest:
    """The `limit` nearest above `threshold`, with their payloads."""
    near = _near(vector, where, 2 * limit + _OVERSAMPLED, exact=exact)
    return edge.QueryRequest(limit=limit, score_threshold=threshold, with_payload=True, **near)


def ranking(query: IndexQuery, where: PointFilter, pool: int) -> edge.QueryRequest:
    """The first `pool` points, without payloads, as `query` ranks them."""
    filtered = to_edge_filter(where)
    # Of a pool those that are cut off would rank far down.
    request = _near(query.vector, where, pool + 2 * _OVERSAMPLED)
    if query.liked is not None:
        disliked = [] if query.disliked is None else query.disliked.tolist()
        examples = edge.RecommendQuery(query.liked.tolist(), disliked)
        best = edge.Query.RecommendBestScore(examples, using=VECTOR_NAME)
        request = {"query": best, "filter": filtered, "params": _IN_FOUR_BITS}
    if query.words is not None:
        by_words = edge.Query.Nearest(sparse(query.words), using=WORDS_NAME)
        both = [
            edge.Prefetch(limit=pool, **request),
            edge.Prefetch(limit=pool, query=by_words, filter=filtered),
        ]
        request = {"query": edge.Fusion.Rrf(k=RRF_K), "prefetches": both}
    if query.diversity:
        before = [edge.Prefetch(limit=pool, **request)]
        mmr = edge.Mmr(query.vector.tolist(), 1 - query.diversity, pool, using=VECTOR_NAME)
        request = {"query": mmr, "prefetches": before}
    return edge.QueryRequest(limit=pool, **request)


def _near(
    vector: Float32Vector, where: PointFilter, candidates: int, *, exact: bool = False
) -> dict[str, Any]:
    """What asks for the nearest: of so many in four bits the nearest in whole numbers.

    Not left to the engine's own rescoring, which looks at as many of every segment.
    """
    near = edge.Query.Nearest(vector.tolist(), using=VECTOR_NAME)
    filtered = to_edge_filter(where)
    if exact:
        return {"query": near, "filter": filtered, "params": _EXACT}
    roughly = edge.Prefetch(limit=candidates, query=near, filter=filtered, params=_IN_FOUR_BITS)
    return {"query": near, "prefetches": [roughly], "params": _EXACT}


def usual_of(where: PointFilter) -> Usual:
    """Of a filter what nearly every point meets: it is an object, and not one of a few."""
    named = tuple(one for one in where.must_not if isinstance(one, Ids))
    return (*((_IS_AN_OBJECT,) if _IS_AN_OBJECT in where.must else ()), *named)


def without(where: PointFilter, usual: Usual) -> PointFilter:
    """The filter less these tests."""
    return PointFilter(
        tuple(one for one in where.must if one not in usual),
        tuple(one for one in where.must_not if one not in usual),
    )


def few(usual: Usual) -> int:
    """How many points may fail them for being named."""
    return sum(len(one.ids) for one in usual if isinstance(one, Ids))


def meets(point: Found, usual: Usual) -> bool:
    """Whether a point meets all of them."""
    return all(
        point.id not in one.ids
        if isinstance(one, Ids)
        else point.payload.get(one.field) in one.values
        for one in usual
    )


def sparse(words: Words) -> edge.SparseVector:
    """Words as the engine has them."""
    return edge.SparseVector(words.indices.tolist(), words.values.tolist())
