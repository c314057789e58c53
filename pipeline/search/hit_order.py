"""Puts hits in the order of what is shown of them: the likeliest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from schemas.search import Relevance, SearchHit


def order_hits(hits: Iterable[SearchHit], *, grouped: bool = False) -> list[SearchHit]:
    """Hits by their probability, in the index's order where they have none or the same.

    Those of which nothing is known stand before those that are unlikely. `grouped`: the hits of an
    image stand together, and images rank by their first.
    """
    ordered = sorted(hits, key=_rank)
    if not grouped:
        return ordered
    of_image: dict[str, list[SearchHit]] = defaultdict(list)
    for hit in ordered:
        of_image[hit.payload.image_id].append(hit)
    return [hit for together in of_image.values() for hit in together]


def _rank(hit: SearchHit) -> tuple[int, float]:
    if hit.probability is None:
        return 2 if hit.relevance == Relevance.WEAK else 1, 0.0
    return 2 if hit.relevance == Relevance.WEAK else 0, -hit.probability


def count_likely(hits: Sequence[SearchHit]) -> int:
    """How many of ordered hits stand before the unlikely ones."""
    return sum(hit.relevance != Relevance.WEAK for hit in hits)


def describe_relevance(hit: SearchHit) -> str:
    """How likely a hit is, in a word and a number; blank where nothing is known."""
    if hit.relevance is None:
        return ""
    share = "" if hit.probability is None else f" {hit.probability:.0%}"
    return f"{hit.relevance.value}{share}"
