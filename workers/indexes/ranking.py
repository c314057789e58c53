"""Ranks points: the best, the best of each image, and those that overlap no better one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

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
    """Points in their order, but those that overlap an earlier one of their image too much.

    The overlap of two masks is the share of the smaller one that both cover; points without a mask
    overlap nothing.
    """
    if max_overlap >= 1:
        return list(ranked)
    shown: dict[str, list[dict[str, Any]]] = defaultdict(list)
    kept = []
    for point in ranked:
        rle = point.payload.get("rle")
        if rle is not None:
            others = shown[point.payload["image_id"]]
            if others and _overlaps(rle, others).max() > max_overlap:
                continue
            others.append(rle)
        kept.append(point)
    return kept


def _overlaps(rle: dict[str, Any], others: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64]:
    # Against a crowd, COCO divides by the first mask's area alone.
    mine = np.asarray(coco_mask.iou([rle], others, [1] * len(others)))
    theirs = np.asarray(coco_mask.iou(others, [rle], [1]))
    larger: npt.NDArray[np.float64] = np.maximum(mine.ravel(), theirs.ravel())
    return larger
