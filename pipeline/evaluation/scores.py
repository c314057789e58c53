"""Scores an index against ground truth: are the objects found, and does search find them?"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from pipeline.evaluation.text_queries import (
    FIRST,
    NEIGHBOURS,
    TextQueries,
    keyword_queries,
    near_objects,
    rank_first_right,
    share_within,
)
from pipeline.search.same_object import gather_object
from pipeline.search.searcher import Searcher
from schemas.coco import CocoAnnotation, CocoId, CocoTruth, join_images
from schemas.errors import UsageError
from schemas.search import MAX_OVERLAP
from workers.protocols import VectorIndex

CLOSE_IOU = 0.75


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
    unlearnt_texts: float | None
    calibration_error: float | None
    first_calibration_error: float | None
    similar_r10: float | None
    box_r1: float | None
    box_25_r1: float | None
    box_50_r1: float | None
    images: int
    objects: int


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
        hits = index.search(near_objects(same.vector, NEIGHBOURS))
        right = partial(_is_another_style, item, annotation)
        ranks.append(rank_first_right(hits, right, matching))
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


def _share(values: Sequence[float], low: float) -> float | None:
    return float(np.mean([value >= low for value in values])) if values else None


def score(truth: CocoTruth, searcher: Searcher) -> Scores:
    """All figures of an index that holds the images of `truth`.

    Objects count when at least half visible and at least 32 px of 640 long. A hit is right when
    its mask has IoU >= 0.5 with an annotation of what was asked for. Object to object: hits in
    the same scene or, of the same concept, in the same style, are neither right nor wrong.
    `label_`, `keyword_`: in the order of the cosine; `hybrid_`: as a search shows them, where
    labels and words count too. `present_weak` to `first_calibration_error`: see `Presence`; `box_`:
    see `measure_boxes`. Entries of one image are joined; broken masks of the index match nothing.
    """
    truth = join_images(truth, name_in_uri)
    index = searcher.index
    points = group_by_image(index.scroll(), truth)
    matching = match(truth, points, index.note_broken)
    present_ids = {a.category_id for a in truth.annotations if a.id in matching.best_iou}
    present = [category for category in truth.categories if category.id in present_ids]
    labels = [category.name for category in present]
    same_name = [{c.id for c in truth.categories if c.name == label} for label in labels]
    words, right = keyword_queries(present, truth.categories)
    texts = TextQueries(searcher, matching, searcher.info.labelled > 0)
    by_label, by_word = texts.rank_nearest(labels, same_name), texts.rank_nearest(words, right)
    hybrid_label = texts.rank_shown(labels, same_name)
    hybrid_word = texts.rank_shown(words, right)
    similar = _rank_similar(index, matching)
    found = measure_presence(list(search_labels(truth, matching, searcher)))
    tight, quarter, half = measure_boxes(truth, points, matching, index).values()
    ious = list(matching.best_iou.values())
    matched = [iou for iou in ious if iou >= MATCH_IOU]
    return Scores(
        object_recall_50=_share(ious, MATCH_IOU),
        object_recall_75=_share(ious, CLOSE_IOU),
        mean_iou=float(np.mean(matched)) if matched else 0.0,
        label_r1=share_within(by_label, 1),
        label_r10=share_within(by_label, FIRST),
        keyword_r1=share_within(by_word, 1),
        keyword_r10=share_within(by_word, FIRST),
        hybrid_label_r1=share_within(hybrid_label, 1),
        hybrid_label_r10=share_within(hybrid_label, FIRST),
        hybrid_keyword_r1=share_within(hybrid_word, 1),
        hybrid_keyword_r10=share_within(hybrid_word, FIRST),
        **asdict(found),
        similar_r10=share_within(similar, FIRST),
        box_r1=tight,
        box_25_r1=quarter,
        box_50_r1=half,
        images=len(truth.images),
        objects=len(ious),
    )
