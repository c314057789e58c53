"""Score an index against ground truth: are the objects found, and does search find them?"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluation.matching import MATCH_IOU, Matching, Seen, by_image, match
from pipeline.evaluation.presence import asked_for, presence
from pipeline.search.same_object import thing_of
from schemas.coco import CocoAnnotation, CocoCategory, CocoTruth
from schemas.errors import UsageError
from schemas.points import IndexQuery
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import MAX_OVERLAP, Condition, SearchHit
from workers.indexes.bm25 import query_words
from workers.labelling.calibration import calibration_of
from workers.protocols import VectorIndex

CLOSE_IOU = 0.75
FIRST = 10
_NEIGHBOURS = 200  # hits asked for, of which those that do not count are left out
_OBJECTS_ONLY = (Condition(field="kind", op="=", value="object"),)

EmbedTexts = Callable[[Sequence[str]], Float32Matrix]


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares are of 0..1; None where the truth does not say enough to tell."""

    object_recall_50: float
    object_recall_75: float
    mean_iou: float
    label_r1: float
    label_r10: float
    keyword_r1: float | None
    keyword_r10: float | None
    hybrid_label_r1: float | None
    hybrid_label_r10: float | None
    hybrid_keyword_r1: float | None
    hybrid_keyword_r10: float | None
    present_weak: float | None
    absent_weak: float | None
    similar_r10: float | None
    images: int
    objects: int


def _first_right(
    hits: Sequence[SearchHit], right: Callable[[Seen], bool | None], seen: dict[str, Seen]
) -> int:
    """Rank from 0 of the first right hit, leaving out those for which `right` says None."""
    rank = 0
    for hit in hits:
        verdict = right(seen[hit.object_id]) if hit.object_id in seen else False
        if verdict:
            return rank
        rank += verdict is not None
    return rank + _NEIGHBOURS


def _text_ranks(
    queries: Sequence[str],
    right_categories: Sequence[set[int]],
    index: VectorIndex,
    embed_texts: EmbedTexts,
    seen: dict[str, Seen],
    *,
    hybrid: bool = False,
) -> list[int]:
    ranks = []
    vectors = embed_texts(queries)
    for text, vector, categories in zip(queries, vectors, right_categories, strict=True):
        query = _objects_near(vector, FIRST)
        hits = index.search(replace(query, words=query_words([text])) if hybrid else query)

        def right(item: Seen, categories: set[int] = categories) -> bool:
            return item.annotation is not None and item.annotation.category_id in categories

        ranks.append(_first_right(hits, right, seen))
    return ranks


def _keyword_queries(
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


def _similar_ranks(index: VectorIndex, matching: Matching) -> list[int]:
    """For every object of which another style is in another scene: rank of the first such."""
    styles: dict[int, set[tuple[str | None, int]]] = defaultdict(set)
    for item in matching.seen.values():
        if item.annotation:
            styles[item.annotation.category_id].add((item.annotation.style, item.image_id))
    ranks = []
    for item in matching.seen.values():
        mine = item.annotation
        if mine is None or mine.style is None or mine.id not in matching.best_iou:
            continue
        elsewhere = styles[mine.category_id]
        if not any(style != mine.style and image != item.image_id for style, image in elsewhere):
            continue
        thing = thing_of(index, uuid.UUID(item.object_id), MAX_OVERLAP)
        if thing is None:
            raise UsageError(f"the index changed while it was scored: {item.object_id} is gone")
        hits = index.search(_objects_near(thing.vector, _NEIGHBOURS))

        def right(hit: Seen, item: Seen = item, mine: CocoAnnotation = mine) -> bool | None:
            other = hit.annotation
            if other is None or other.category_id != mine.category_id:
                return False if hit.image_id != item.image_id else None
            if other.style == mine.style or hit.image_id == item.image_id:
                return None
            return True

        ranks.append(_first_right(hits, right, matching.seen))
    return ranks


def _objects_near(vector: Float32Vector, limit: int) -> IndexQuery:
    return IndexQuery(vector, limit, _OBJECTS_ONLY, max_overlap=MAX_OVERLAP)


def _share(values: Sequence[float], low: float) -> float:
    return float(np.mean([value >= low for value in values])) if values else 0.0


def _within(ranks: Sequence[int], first: int) -> float | None:
    return float(np.mean([rank < first for rank in ranks])) if ranks else None


def score(
    truth: CocoTruth, index: VectorIndex, embed_texts: EmbedTexts, embedder_name: str
) -> Scores:
    """All figures of an index that holds the images of `truth`.

    Objects count when at least half visible and at least 32 px of 640 long. A hit is right when
    its mask has IoU >= 0.5 with an annotation of what was asked for. Object to object: hits in
    the same scene or, of the same concept, in the same style, are neither right nor wrong.
    `hybrid_`: labels and words count too. `present_weak`, `absent_weak`: see `Presence`.
    """
    matching = match(truth, by_image(index.scroll(), truth))
    ious = list(matching.best_iou.values())
    matched = [iou for iou in ious if iou >= MATCH_IOU]
    present_ids = {a.category_id for a in truth.annotations if a.id in matching.best_iou}
    present = [category for category in truth.categories if category.id in present_ids]
    labels = [category.name for category in present]
    same_name = [{c.id for c in truth.categories if c.name == label} for label in labels]
    words, right = _keyword_queries(present, truth.categories)
    seen, labelled = matching.seen, index.info().labelled > 0

    def ranks(texts: Sequence[str], wanted: Sequence[set[int]], *, hybrid: bool) -> list[int]:
        if not texts or (hybrid and not labelled):
            return []
        return _text_ranks(texts, wanted, index, embed_texts, seen, hybrid=hybrid)

    by_label, by_word = (ranks(*one, hybrid=False) for one in ((labels, same_name), (words, right)))
    fused = (ranks(*one, hybrid=True) for one in ((labels, same_name), (words, right)))
    fused_label, fused_word = fused
    similar = _similar_ranks(index, matching)
    asked = list(asked_for(truth, matching, index, embed_texts))
    told = presence(asked, calibration_of(embedder_name))
    return Scores(
        object_recall_50=_share(ious, MATCH_IOU),
        object_recall_75=_share(ious, CLOSE_IOU),
        mean_iou=float(np.mean(matched)) if matched else 0.0,
        label_r1=_within(by_label, 1) or 0.0,
        label_r10=_within(by_label, FIRST) or 0.0,
        keyword_r1=_within(by_word, 1),
        keyword_r10=_within(by_word, FIRST),
        hybrid_label_r1=_within(fused_label, 1),
        hybrid_label_r10=_within(fused_label, FIRST),
        hybrid_keyword_r1=_within(fused_word, 1),
        hybrid_keyword_r10=_within(fused_word, FIRST),
        present_weak=told.present_weak if told else None,
        absent_weak=told.absent_weak if told else None,
        similar_r10=_within(similar, FIRST),
        images=len(truth.images),
        objects=len(ious),
    )
