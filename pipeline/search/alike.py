"""Says whether points show the same: by their vectors, and by the thumbnails kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from cachetools import LRUCache

from pipeline.search.small_pictures import SmallPicture, measure_difference, shrink
from schemas.payload import Kind
from workers.images.thumbnails import read_thumbnail
from workers.protocols import VectorIndex

LEAST_SIMILARITY: dict[Kind, float] = {"image": 0.9, "object": 0.9}
"""The least cosine of near-duplicates: see docs/duplicates.md for what was measured."""
LEAST_BLIND: dict[Kind, float] = {"image": 0.95, "object": 0.995}
"""The same where no thumbnail is kept of one of them: vectors alone tell objects hardly apart."""
MOST_DIFFERENCE = 0.65
"""Of their thumbnails, see `measure_difference`."""
_MOST_KEPT = 4096  # of 12 KB each


class Thumbnails:
    """Compares points of an index by their thumbnails."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._kept: LRUCache[str, SmallPicture | None] = LRUCache(_MOST_KEPT)

    def select_alike(self, own: str, scores: Mapping[str, float], least_blind: float) -> list[str]:
        """Those that look like a point, by their ids, of others with their cosines to it.

        In their order. Where there is no thumbnail to be compared, the cosine is `least_blind` or
        more.
        """
        pictures = self._read([own, *scores])
        return [
            other
            for other, score in scores.items()
            if _looks_alike(pictures[own], pictures[other], blindly=score >= least_blind)
        ]

    def _read(self, ids: Iterable[str]) -> dict[str, SmallPicture | None]:
        known = {name: self._kept[name] for name in ids if name in self._kept}
        unknown = [name for name in dict.fromkeys(ids) if name not in known]
        found = self._index.thumbnails([UUID(name) for name in unknown]) if unknown else {}
        for name in unknown:
            known[name] = self._kept[name] = _shrink_webp(found.get(UUID(name)))
        return known


def _looks_alike(
    picture: SmallPicture | None, other: SmallPicture | None, *, blindly: bool
) -> bool:
    if picture is None or other is None:
        return blindly
    return measure_difference(picture, other) <= MOST_DIFFERENCE


def _shrink_webp(webp: bytes | None) -> SmallPicture | None:
    try:
        return None if webp is None else shrink(read_thumbnail(webp))
    except ValueError:
        return None
