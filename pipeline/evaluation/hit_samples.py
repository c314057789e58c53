"""Gathers what a calibration is fitted to: evidence, and whether it is right."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.logistic import Sample
from pipeline.evaluation.matching import Matching
from pipeline.evaluation.presence import LabelQuery
from pipeline.evaluation.text_queries import OBJECTS_ONLY
from pipeline.search.same_object import gather_object
from pipeline.search.searcher import Searcher
from schemas.coco import CocoId
from schemas.points import NO_SHARE, IndexQuery, Point
from schemas.search import MAX_OVERLAP, Condition
from workers.indexes.bm25 import share_of_words
from workers.labelling.calibration import log_odds
from workers.protocols import VectorIndex

_HITS = 10


@dataclass(frozen=True, slots=True)
class TextHits:
    """The hits of a label, in the bucket with it or without it; `samples` best first."""

    present: bool
    searched: int
    samples: list[Sample]


def sample_text_hits(searcher: Searcher, queries: Sequence[LabelQuery]) -> Iterator[TextHits]:
    """Each query's hits by the sum that they were ranked by, as logits."""
    scale = searcher.calibration.label_scale
    for query in queries:
        weights = searcher.sums.choose(query.text, with_words=True)
        ids = [uuid.UUID(hit.object_id) for hit in query.hits]
        points: Mapping[uuid.UUID, Point] = {}
        if weights.counts_words:
            points = searcher.index.vectors(ids, dense=False, words=True)
        samples: list[Sample] = []
        for identity, hit, right in zip(ids, query.hits, query.right, strict=True):
            payload, point = hit.payload, points.get(identity)
            shares = NO_SHARE
            if point is not None and point.words is not None:
                shares = share_of_words(query.text, point.words, payload.uri)
            known = (payload.predicted_iou, payload.label_logsumexp)
            samples.append(((scale * weights.add_up(hit.score, *known, shares),), right))
        yield TextHits(query.present, searcher.info.objects, samples)


def sample_labels(index: VectorIndex, matching: Matching, names: dict[CocoId, str]) -> list[Sample]:
    """A sample for each label of each object: right if that is what the object shows.

    Of labels that `names` do not have it is not known whether they are right: they are left out.
    """
    samples: list[Sample] = []
    known = set(names.values())
    for point in index.scroll(OBJECTS_ONLY):
        item = matching.objects.get(point.id)
        shown = names[item.annotation.category_id] if item and item.annotation else None
        payload = point.parse_payload()
        pairs = zip(payload.labels or (), payload.label_scores or (), strict=True)
        judged = ((label, score) for label, score in pairs if label in known)
        samples += [((log_odds(score),), label == shown) for label, score in judged]
    return samples


def sample_picture_hits(index: VectorIndex, matching: Matching) -> Iterator[Sample]:
    """Samples from the hits of objects in other images: right if they show the same concept."""
    for item in matching.objects.values():
        annotation = item.annotation
        if annotation is None or annotation.id not in matching.best_iou:
            continue
        same = gather_object(index, uuid.UUID(item.object_id), MAX_OVERLAP)
        if same is None:
            continue
        image = Condition(field="image_id", op="!=", value=same.own.payload["image_id"])
        query = IndexQuery(same.vector, _HITS, (*OBJECTS_ONLY, image), max_overlap=MAX_OVERLAP)
        for hit in index.search(query):
            other = matching.objects[hit.object_id].annotation
            yield (hit.score,), other is not None and other.category_id == annotation.category_id
