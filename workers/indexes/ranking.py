"""Ranks points: the best, the best of each image, and those that overlap no better one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from schemas.errors import VectorIndexError
from schemas.masks import CocoRle
from schemas.overlaps import mask_ios
from workers.indexes.points import Found


def best(
    fetch: Callable[[int], list[Found]], limit: int, by_image: bool, max_overlap: float
) -> list[Found]:
    """The best `limit` points by score, then by id.

    With `by_image` only the best of each image, else none that overlaps a better one of its image
    by more than `max_overlap`. `fetch(n)` returns the n nearest points, fewer only if there are no
    more. It is asked for more until enough of them are certain: those that score above the last
    one fetched cannot be beaten or tied by one that was not.
    """
    size = limit + 1
    while True:
        found = fetch(size)
        ranked = sorted(found, key=lambda point: (-point.score, point.id))
        ranked = firsts(ranked, 1) if by_image else apart(ranked, max_overlap)
        if len(found) < size:
            return ranked[:limit]
        floor = min(point.score for point in found)
        certain = [point for point in ranked if point.score > floor]
        if len(certain) >= limit:
            return certain[:limit]
        size *= 2


def firsts(ranked: Sequence[Found], each: int) -> list[Found]:
    """The first `each` points of every image, together, in the order of each image's first."""
    of_image: dict[str, list[Found]] = defaultdict(list)
    for point in ranked:
        of_image[point.payload["image_id"]].append(point)
    return [point for points in of_image.values() for point in points[:each]]


def apart(ranked: Sequence[Found], max_overlap: float) -> list[Found]:
    """Points in their order, without those that overlap an earlier one of their image too much.

    The overlap of two masks is their intersection over the smaller; points without a mask overlap
    nothing.
    """
    if max_overlap >= 1:
        return list(ranked)
    masks_of_image: dict[str, list[CocoRle]] = defaultdict(list)
    kept = []
    for point in ranked:
        rle = point.payload.get("rle")
        if rle is not None:
            mask = CocoRle(tuple(rle["size"]), rle["counts"])
            better = masks_of_image[point.payload["image_id"]]
            if better and _overlap(point, mask, better) > max_overlap:
                continue
            better.append(mask)
        kept.append(point)
    return kept


def _overlap(point: Found, mask: CocoRle, others: Sequence[CocoRle]) -> float:
    try:
        return float(mask_ios([mask], others).max())
    except ValueError as exc:
        uri = point.payload["uri"]
        raise VectorIndexError(f"the index holds a broken mask of {uri}: {exc}") from exc
