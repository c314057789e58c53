"""Says whether points show the same: by their vectors, and by the thumbnails kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from cachetools import LRUCache

from pipeline.search.small_pictures import SmallPicture, measure_difference, shrink
from schemas.payload import Kind
from workers.images.thumbnails import read_thumbnail
from workers.protocols import VectorIndex

LEAST_SIMILARITY: dict[Kind, float] = {"image": 0.9, "object": 0.9}
"""The least cosine of near-duplicates: see docs/duplicates.md for what was measured."""
MOST_DIFFERENCE = 0.65
"""Of their thumbnails, see `measure_difference`."""
_MOST_KEPT = 4096  # of 12 KB each


class Thumbnails:
    """Compares points of an index by their thumbnails; of which none is kept, vectors decide."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._kept: LRUCache[str, SmallPicture | None] = LRUCache(_MOST_KEPT)

    def select_alike(self, own: str, others: Sequence[str]) -> list[str]:
        """Those of the others, by id, that look like a point, in their order."""
        pictures = self._read([own, *others])
        picture = pictures[own]
        if picture is None:
            return list(others)
        return [other for other in others if _looks_alike(picture, pictures[other])]

    def _read(self, ids: Iterable[str]) -> dict[str, SmallPicture | None]:
        known = {name: self._kept[name] for name in ids if name in self._kept}
        unknown = [name for name in dict.fromkeys(ids) if name not in known]
        found = self._index.thumbnails([UUID(name) for name in unknown]) if unknown else {}
        for name in unknown:
            known[name] = self._kept[name] = _shrink_webp(found.get(UUID(name)))
        return known


def _looks_alike(picture: SmallPicture, other: SmallPicture | None) -> bool:
    return other is None or measure_difference(picture, other) <= MOST_DIFFERENCE


def _shrink_webp(webp: bytes | None) -> SmallPicture | None:
    try:
        return None if webp is None else shrink(read_thumbnail(webp))
    except ValueError:
        return None
