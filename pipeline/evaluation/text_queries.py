"""Ranks the first right hits of texts: in the order of the cosine, and as a search shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.evaluation.matching import MatchedObject, Matching
from pipeline.search.searcher import Searcher
from schemas.coco import CocoCategory
from schemas.points import IndexQuery
from schemas.records import Float32Vector
from schemas.search import MAX_OVERLAP, Condition, SearchHit, SearchQuery

FIRST = 10
NEIGHBOURS = 200  # hits, of which those that do not count are left out
OBJECTS_ONLY = (Condition(field="kind", op="=", value="object"),)


def rank_first_right(
    hits: Sequence[SearchHit], right: Callable[[MatchedObject], bool | None], matching: Matching
) -> int:
    """Rank from 0 of the first right hit, leaving out those for which `right` says None."""
    rank, objects = 0, matching.objects
    for hit in hits:
        verdict = right(objects[hit.object_id]) if hit.object_id in objects else False
        if verdict:
            return rank
        rank += verdict is not None
    return rank + NEIGHBOURS


@dataclass(frozen=True, slots=True, eq=False)
class TextQueries:
    """Ranks texts' first right hits in an index: by nearness alone, or as they are shown."""

    searcher: Searcher
    matching: Matching
    labelled: bool

    def rank_nearest(self, texts: Sequence[str], categories: Sequence[set[int]]) -> list[int]:
        """Ranks from 0 in the order of the cosine, one for each text and its categories."""
        vectors = self.searcher.models.embed_texts(texts) if texts else []
        hits = (self.searcher.index.search(near_objects(vector, FIRST)) for vector in vectors)
        return self._rank(hits, categories)

    def rank_shown(self, texts: Sequence[str], categories: Sequence[set[int]]) -> list[int]:
        """Ranks from 0 in the order of a search by each text; none without labels."""
        if not self.labelled or not texts:
            return []
        self.searcher.remember(texts)
        queries = (SearchQuery(text=text, limit=FIRST) for text in texts)
        return self._rank((self.searcher.search(query).hits for query in queries), categories)

    def _rank(
        self, found: Iterable[Sequence[SearchHit]], categories: Sequence[set[int]]
    ) -> list[int]:
        return [
            rank_first_right(hits, partial(_shows_any, wanted), self.matching)
            for hits, wanted in zip(found, categories, strict=True)
        ]


def _shows_any(wanted: set[int], item: MatchedObject) -> bool:
    return item.annotation is not None and item.annotation.category_id in wanted


def keyword_queries(
    present: Sequence[CocoCategory], everything: Sequence[CocoCategory]
) -> tuple[list[str], list[set[int]]]:
    """One keyword of every category that has some, and all categories that it is true of."""
    rng = np.random.default_rng(0)
    words, right = [], []
    for category in present:
        if not category.keywords:
            continue
        word = str(rng.choice(sorted(category.keywords)))
        words.append(word)
        right.append({c.id for c in everything if word in c.keywords or word == c.name})
    return words, right


def near_objects(vector: Float32Vector, limit: int) -> IndexQuery:
    return IndexQuery(vector, limit, OBJECTS_ONLY, max_overlap=MAX_OVERLAP)


def share_within(ranks: Sequence[int], first: int) -> float | None:
    return float(np.mean([rank < first for rank in ranks])) if ranks else None
