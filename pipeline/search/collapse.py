"""Puts hits that are near-duplicates of a better hit behind that one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import numpy as np

from pipeline.search.alike import LEAST_BLIND, LEAST_SIMILARITY, Thumbnails
from pipeline.search.same_object import has_length, unit
from schemas.records import Float32Vector
from schemas.search import SearchHit
from workers.protocols import VectorIndex


def collapse_alike(
    hits: Sequence[SearchHit], index: VectorIndex, was_shown: Callable[[SearchHit], bool]
) -> list[SearchHit]:
    """The hits in their order, each with those `alike` that are near-duplicates of it.

    A hit that was shown on an earlier page stands for what is like it, wherever it ranks now. An
    image and an object are never alike.
    """
    ids = [UUID(hit.object_id) for hit in hits]
    found = index.vectors(ids, dense=True, words=False) if ids else {}
    vectors = {
        str(name): unit(point.vector) for name, point in found.items() if has_length(point.vector)
    }
    thumbnails = Thumbnails(index)
    kept: dict[str, list[SearchHit]] = {}
    by_id = {hit.object_id: hit for hit in hits}
    for hit in sorted(hits, key=lambda hit: not was_shown(hit)):
        better = _find_better(hit, [by_id[name] for name in kept], vectors, thumbnails)
        if better is None:
            kept[hit.object_id] = []
        else:
            kept[better].append(hit)
    return [
        hit.model_copy(update={"alike": tuple(kept[hit.object_id])}) if kept[hit.object_id] else hit
        for hit in hits
        if hit.object_id in kept
    ]


def _find_better(
    hit: SearchHit,
    kept: Sequence[SearchHit],
    vectors: dict[str, Float32Vector],
    thumbnails: Thumbnails,
) -> str | None:
    """The id of the likest hit among those kept that a hit is a near-duplicate of."""
    kind, own = hit.payload.kind, vectors.get(hit.object_id)
    others = [other.object_id for other in kept if other.payload.kind == kind]
    others = [name for name in others if name in vectors]
    if own is None or not others:
        return None
    cosines = np.stack([vectors[name] for name in others]) @ own
    order = np.argsort(-cosines, kind="stable")
    near = {
        others[place]: float(cosines[place])
        for place in order
        if cosines[place] >= LEAST_SIMILARITY[kind]
    }
    alike = thumbnails.select_alike(hit.object_id, near, LEAST_BLIND[kind]) if near else []
    return alike[0] if alike else None
