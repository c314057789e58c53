"""Scores an index against ground truth: are the objects found, and does search find them?"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pipeline.evaluation.boxes import measure_boxes
from pipeline.evaluation.matching import (
    MATCH_IOU,
    MatchedObject,
    Matching,
    group_by_image,
    match,
    name_in_uri,
)
from pipeline.evaluation.presence import measure_presence, search_labels
from pipeline.search.same_object import gather_object
from schemas.coco import CocoAnnotation, CocoCategory, CocoId, CocoTruth, join_images
from schemas.errors import UsageError
from schemas.points import IndexQuery
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import MAX_OVERLAP, Condition, SearchHit
from workers.indexes.bm25 import query_words
from workers.labelling.calibration import calibration_of
from workers.protocols import VectorIndex

CLOSE_IOU = 0.75
FIRST = 10
_NEIGHBOURS = 200  # hits, of which those that do not count are left out
_OBJECTS_ONLY = (Condition(field="kind", op="=", value="object"),)

EmbedTexts = Callable[[Sequence[str]], Float32Matrix]


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares are of 0..1; None where the truth does not hold what a figure needs."""

    object_recall_50: float | None
    object_recall_75: float | None
    mean_iou: float
    label_r1: float | None
    label_r10: float | None
    keyword_r1: float | None
    keyword_r10: float | None
    hybrid_label_r1: float | None
    hybrid_label_r10: float | None
    hybrid_keyword_r1: float | None
    hybrid_keyword_r10: float | None
    present_weak: float | None
    absent_weak: float | None
    similar_r10: float | None
    box_r1: float | None
    box_25_r1: float | None
    box_50_r1: float | None
    images: int
    objects: int


def _rank_first_right(
    hits: Sequence[SearchHit], right: Callable[[MatchedObject], bool | None], matching: Matching
) -> int:
    """Rank from 0 of the first right hit, leaving out those for which `right` says None."""
    rank, objects = 0, matching.objects
    for hit in hits:
        verdict = right(objects[hit.object_id]) if hit.object_id in objects else False
        if verdict:
            return rank
        rank += verdict is not None
    return rank + _NEIGHBOURS


@dataclass(frozen=True, slots=True, eq=False)
class _TextQueries:
    """Ranks texts' first right hits in an index; `hybrid`: labels and words count too."""

    index: VectorIndex
    embed_texts: EmbedTexts
    matching: Matching
    labelled: bool

    def rank(
        self, texts: Sequence[str], categories: Sequence[set[int]], *, hybrid: bool
    ) -> list[int]:
        """Ranks from 0, one for each text that is to show one of its categories."""
        if not texts or (hybrid and not self.labelled):
            return []
        ranks = []
        for text, vector, wanted in zip(texts, self.embed_texts(texts), categories, strict=True):
            query = _near_objects(vector, FIRST)
            hits = self.index.search(replace(query, words=query_words([text])) if hybrid else query)

            def right(item: MatchedObject, wanted: set[int] = wanted) -> bool:
                return item.annotation is not None and item.annotation.category_id in wanted

            ranks.append(_rank_first_right(hits, right, self.matching))
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


def _rank_similar(index: VectorIndex, matching: Matching) -> list[int]:
    """For every object of which another style is in another scene: rank of the first such."""
    styles: dict[int, set[tuple[str | None, CocoId]]] = defaultdict(set)
    for item in matching.objects.values():
        if item.annotation:
            styles[item.annotation.category_id].add((item.annotation.style, item.image_id))
    ranks = []
    for item in matching.objects.values():
        annotation = item.annotation
        if annotation is None or annotation.style is None or annotation.id not in matching.best_iou:
            continue
        elsewhere = styles[annotation.category_id]
        if not any(
            style != annotation.style and image != item.image_id for style, image in elsewhere
        ):
            continue
        same = gather_object(index, uuid.UUID(item.object_id), MAX_OVERLAP)
        if same is None:
            raise UsageError(f"the index changed while it was scored: {item.object_id} is gone")
        hits = index.search(_near_objects(same.vector, _NEIGHBOURS))
        right = partial(_is_another_style, item, annotation)
        ranks.append(_rank_first_right(hits, right, matching))
    return ranks


def _is_another_style(
    item: MatchedObject, annotation: CocoAnnotation, hit: MatchedObject
) -> bool | None:
    """None for a hit in the same scene, or of the same concept in the same style."""
    other = hit.annotation
    if other is None or other.category_id != annotation.category_id:
        return False if hit.image_id != item.image_id else None
    if other.style == annotation.style or hit.image_id == item.image_id:
        return None
    return True


def _near_objects(vector: Float32Vector, limit: int) -> IndexQuery:
    return IndexQuery(vector, limit, _OBJECTS_ONLY, max_overlap=MAX_OVERLAP)


def _share(values: Sequence[float], low: float) -> float | None:
    return float(np.mean([value >= low for value in values])) if values else None


def _within(ranks: Sequence[int], first: int) -> float | None:
    return float(np.mean([rank < first for rank in ranks])) if ranks else None


def score(
    truth: CocoTruth, index: VectorIndex, embed_texts: EmbedTexts, embedder_name: str
) -> Scores:
    """All figures of an index that holds the images of `truth`.

    Objects count when at least half visible and at least 32 px of 640 long. A hit is right when
    its mask has IoU >= 0.5 with an annotation of what was asked for. Object to object: hits in
    the same scene or, of the same concept, in the same style, are neither right nor wrong.
    `hybrid_`: labels and words count too. `present_weak`, `absent_weak`: see `Presence`; `box_`:
    see `measure_boxes`. Entries of one image are joined; broken masks of the index match nothing.
    """
    truth = join_images(truth, name_in_uri)
    points = group_by_image(index.scroll(), truth)
    matching = match(truth, points, index.note_broken)
    present_ids = {a.category_id for a in truth.annotations if a.id in matching.best_iou}
    present = [category for category in truth.categories if category.id in present_ids]
    labels = [category.name for category in present]
    same_name = [{c.id for c in truth.categories if c.name == label} for label in labels]
    words, right = _keyword_queries(present, truth.categories)
    texts = _TextQueries(index, embed_texts, matching, index.info().labelled > 0)
    by_label = texts.rank(labels, same_name, hybrid=False)
    by_word = texts.rank(words, right, hybrid=False)
    hybrid_label = texts.rank(labels, same_name, hybrid=True)
    hybrid_word = texts.rank(words, right, hybrid=True)
    similar = _rank_similar(index, matching)
    queries = list(search_labels(truth, matching, index, embed_texts))
    found = measure_presence(queries, calibration_of(embedder_name))
    tight, quarter, half = measure_boxes(truth, points, matching, index).values()
    ious = list(matching.best_iou.values())
    matched = [iou for iou in ious if iou >= MATCH_IOU]
    return Scores(
        object_recall_50=_share(ious, MATCH_IOU),
        object_recall_75=_share(ious, CLOSE_IOU),
        mean_iou=float(np.mean(matched)) if matched else 0.0,
        label_r1=_within(by_label, 1),
        label_r10=_within(by_label, FIRST),
        keyword_r1=_within(by_word, 1),
        keyword_r10=_within(by_word, FIRST),
        hybrid_label_r1=_within(hybrid_label, 1),
        hybrid_label_r10=_within(hybrid_label, FIRST),
        hybrid_keyword_r1=_within(hybrid_word, 1),
        hybrid_keyword_r10=_within(hybrid_word, FIRST),
        present_weak=found.present_weak if found else None,
        absent_weak=found.absent_weak if found else None,
        similar_r10=_within(similar, FIRST),
        box_r1=tight,
        box_25_r1=quarter,
        box_50_r1=half,
        images=len(truth.images),
        objects=len(ious),
    )
