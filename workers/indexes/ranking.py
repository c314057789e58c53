"""Ranks points: fetches enough candidates, scores them, groups them, and drops overlaps."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from schemas.errors import UsageError
from schemas.masks import CocoRle
from schemas.named_vectors import describe_dims, stored_name
from schemas.overlaps import mask_ios
from schemas.points import IndexQuery, Point, ScoredPoint, TextSum
from schemas.records import VECTOR_NAME
from workers.indexes.filters import Ids, OneOf, PointFilter, point_filter
from workers.indexes.operations import PointOperations
from workers.indexes.points import NoteBroken, check_query, sound_mask_of
from workers.indexes.sparse_ranking import fetch_by_sparse, rank_fused, score_by_sparse
from workers.indexes.text_ranking import rank_for_text

_LOWEST = np.float32(-np.inf)
# Ranks that are fused or varied are those of a pool of points; others are no hits.
_MIN_POOL, _POOL_SHARE, _MAX_POOL = 60, 4, 4000
_MIN_TEXT_POOL = 100  # of 60 the order was that of all 2,050 objects of a bucket
_FIRST_RETRIEVED = 4  # beyond the limit


def search(
    index: PointOperations, query: IndexQuery, dim: int, note_broken: NoteBroken
) -> list[ScoredPoint]:
    """Best first; ties by id. Raises UsageError, InvalidVectorError."""
    check_query(query, dim if query.using is None else _named_dim(index, query.using))
    if query.sparse is not None and not index.has_sparse():
        raise UsageError("expected an index with sparse vectors to search by one, this has none")
    if query.vector is not None:
        query = replace(query, vector=query.vector / np.linalg.norm(query.vector))
    where = index.prepare(point_filter(query.conditions))
    if query.without:
        without = Ids(tuple(sorted(query.without)))
        where = PointFilter(where.must, (*where.must_not, without))
    if query.sparse is not None:
        return _search_by_sparse(index, query, where, note_broken)
    if query.text_sum is not None:
        return _search_for_text(index, query, query.text_sum, where, note_broken)
    if query.words is None and query.liked is None and not query.diversity:
        return _search_nearest(index, query, where, note_broken)
    return _search_ranked(index, query, where, note_broken)


def _named_dim(index: PointOperations, name: str) -> int:
    dims = index.named_dims()
    if name not in dims:
        raise UsageError(
            f"expected one of the named vectors of the index to search by "
            f"({describe_dims(dims)}), got {name!r}"
        )
    return dims[name]


def _search_nearest(
    index: PointOperations, query: IndexQuery, where: PointFilter, note_broken: NoteBroken
) -> list[ScoredPoint]:
    least, vector = query.min_score, query.require_vector()
    threshold = None if least is None else just_below(least)
    name = VECTOR_NAME if query.using is None else stored_name(query.using)

    def fetch(limit: int, where: PointFilter = where) -> list[ScoredPoint]:
        nearest = index.find_nearest(vector, where, limit, threshold, exact=query.exact, name=name)
        return [point for point in nearest if least is None or point.score >= least]

    return _select_certain(index, query, where, fetch, note_broken)


def just_below(score: float) -> float:
    """The threshold for scores of at least this: engines leave out what scores exactly that."""
    return float(np.nextafter(np.float32(score), _LOWEST))


def _search_by_sparse(
    index: PointOperations, query: IndexQuery, where: PointFilter, note_broken: NoteBroken
) -> list[ScoredPoint]:
    """Hits by a sparse vector, alone or with whatever else there is."""
    if query.vector is not None or query.words is not None or query.diversity:
        return _search_ranked(index, query, where, note_broken)

    def fetch(limit: int, where: PointFilter = where) -> list[ScoredPoint]:
        return fetch_by_sparse(index, query, where, limit)

    return _select_certain(index, query, where, fetch, note_broken)


class _Fetch(Protocol):
    """Fetches the best points by score, at most `limit`; fewer only if there are no more."""

    def __call__(self, limit: int, where: PointFilter = ...) -> list[ScoredPoint]: ...


def _select_certain(
    index: PointOperations,
    query: IndexQuery,
    where: PointFilter,
    fetch: _Fetch,
    note_broken: NoteBroken,
) -> list[ScoredPoint]:
    """The certain best: for points that are dropped, more are fetched."""
    grouped = query.group_size is not None
    best = select_best(fetch, query.limit, grouped, query.max_overlap, note_broken)
    if query.group_size in (None, 1) or not best:
        return best
    images = OneOf("image_id", tuple(map(_image_of, best)))
    in_images = PointFilter((*where.must, images), where.must_not)
    candidates = sort_by_score(fetch(index.count_points(in_images), in_images))
    apart = drop_overlapping(candidates, query.max_overlap, note_broken)
    return group_by_image(apart, query.group_size or 1)


def _search_for_text(
    index: PointOperations,
    query: IndexQuery,
    weights: TextSum,
    where: PointFilter,
    note_broken: NoteBroken,
) -> list[ScoredPoint]:
    """The best by one sum of a pool, which grows until enough of it stand apart."""
    pool = min(max(_MIN_TEXT_POOL, _POOL_SHARE * query.limit), _MAX_POOL)
    while True:
        ranked, is_all = rank_for_text(index, query, weights, where, pool)
        best = drop_overlapping(ranked, query.max_overlap, note_broken, query.limit)
        if len(best) == query.limit or is_all or pool == _MAX_POOL:
            return best
        pool = min(2 * pool, _MAX_POOL)


def _search_ranked(
    index: PointOperations, query: IndexQuery, where: PointFilter, note_broken: NoteBroken
) -> list[ScoredPoint]:
    """The best of a pool some times as large as the limit, or larger where that is not enough."""
    pool = min(max(_MIN_POOL, _POOL_SHARE * query.limit), _MAX_POOL)
    while True:
        if query.sparse is None:
            ranked = index.rank(query, where, pool)
        else:
            ranked = rank_fused(index, query, where, pool)
        best, enough = _take_ranked(index, query, ranked, note_broken)
        if enough or len(ranked) < pool or pool == _MAX_POOL:
            return best
        pool = min(2 * pool, _MAX_POOL)


def _take_ranked(
    index: PointOperations,
    query: IndexQuery,
    ranked: Sequence[uuid.UUID],
    note_broken: NoteBroken,
) -> tuple[list[ScoredPoint], bool]:
    """The hits among ranked points, and whether they are enough.

    Points are large, so only a few are retrieved as long as those will do.
    """

    def take_apart() -> tuple[list[ScoredPoint], bool]:
        return _take_limit(query, drop_overlapping(scored, query.max_overlap, note_broken))

    scored: list[ScoredPoint] = []
    start, size = 0, _FIRST_RETRIEVED + query.limit
    while start < len(ranked):
        batch = ranked[start : start + size]
        # Twice as many each time: overlaps are computed anew for all points so far.
        start, size = start + size, 2 * size
        scored += _score(index, batch, query)
        best, enough = take_apart()
        # Groups may still grow; the order of points up to here is final.
        if enough and query.group_size in (None, 1):
            return best, True
    best, enough = take_apart()
    # Where few of the nearest are near enough, none of those that follow is.
    return best, enough or len(scored) < len(ranked) // 2


def _score(
    index: PointOperations, order: Sequence[uuid.UUID], query: IndexQuery
) -> list[ScoredPoint]:
    """The points in this order, with their similarity to the query, that have enough of it."""
    by_id = {uuid.UUID(point.id): point for point in index.retrieve(order)}
    dots = score_by_sparse(index, query, order) if query.vector is None else {}
    scored = []
    for identity in order:
        point = by_id.get(identity)
        if point is None or point.vector is None:
            continue
        score = dots[identity] if query.vector is None else float(point.vector @ query.vector)
        if query.min_score is None or score >= query.min_score:
            scored.append(ScoredPoint(point.id, point.payload, score=score))
    return scored


def _take_limit(query: IndexQuery, ranked: Sequence[ScoredPoint]) -> tuple[list[ScoredPoint], bool]:
    """The query's limit of ranked points, or of their images; whether there were that many."""
    if query.group_size is None:
        return list(ranked[: query.limit]), len(ranked) >= query.limit
    grouped = group_by_image(ranked, query.group_size)
    images = list(dict.fromkeys(map(_image_of, grouped)))
    first = set(images[: query.limit])
    taken = [point for point in grouped if _image_of(point) in first]
    return taken, len(images) >= query.limit


def sort_by_score(points: Sequence[ScoredPoint]) -> list[ScoredPoint]:
    """Best first; ties by id."""
    return sorted(points, key=lambda point: (-point.score, point.id))


def select_best(
    fetch: Callable[[int], list[ScoredPoint]],
    limit: int,
    by_image: bool,
    max_overlap: float,
    note_broken: NoteBroken,
) -> list[ScoredPoint]:
    """The best `limit` points by score, then by id.

    With `by_image`, only the best of each image; without, none that overlaps a better one of its
    image by more than `max_overlap`. `fetch(n)` returns the n nearest points, fewer only if there
    are no more. It is called for more until enough of them are certain: a point that scores above
    the last one fetched can be neither beaten nor tied by one that was not fetched.
    """
    size = limit + 1
    while True:
        fetched = fetch(size)
        ranked = sort_by_score(fetched)
        if by_image:
            ranked = group_by_image(ranked, 1)
        else:
            ranked = drop_overlapping(ranked, max_overlap, note_broken)
        if len(fetched) < size:
            return ranked[:limit]
        floor = min(point.score for point in fetched)
        certain = [point for point in ranked if point.score > floor]
        if len(certain) >= limit:
            return certain[:limit]
        size *= 2


def group_by_image(ranked: Sequence[ScoredPoint], each: int) -> list[ScoredPoint]:
    """The first `each` points of every image, together; images in the order of their first."""
    of_image: dict[str, list[ScoredPoint]] = defaultdict(list)
    for point in ranked:
        of_image[_image_of(point)].append(point)
    return [point for points in of_image.values() for point in points[:each]]


def drop_overlapping(
    ranked: Sequence[ScoredPoint],
    max_overlap: float,
    note_broken: NoteBroken,
    limit: int | None = None,
) -> list[ScoredPoint]:
    """Points in their order, without those that overlap an earlier one of their image too much.

    The first `limit` of them, None: all. Of a video, masks of one key frame alone are compared.

    The overlap of two masks is their intersection over the smaller; points without a mask, or with
    a broken one, overlap nothing.
    """
    if max_overlap >= 1:
        return list(ranked[:limit])
    masks_of_frame: dict[tuple[str, object], list[CocoRle]] = defaultdict(list)
    kept: list[ScoredPoint] = []
    for point in ranked:
        if len(kept) == limit:
            break
        mask = sound_mask_of(point, note_broken)
        if mask is not None:
            better = masks_of_frame[_image_of(point), point.payload.get("t_key")]
            if better and float(mask_ios([mask], better).max()) > max_overlap:
                continue
            better.append(mask)
        kept.append(point)
    return kept


def _image_of(point: Point) -> str:
    """The id of its image; its own where it has none, as a point that is none of objseek's."""
    return str(point.payload.get("image_id", point.id))
