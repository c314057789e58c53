"""Measures whether search shows that nothing fits: queries in a bucket with it, and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.evaluation.matching import Matching
from schemas.coco import CocoTruth
from schemas.points import IndexQuery
from schemas.records import Float32Matrix
from schemas.search import MAX_OVERLAP, Condition, Relevance, SearchHit
from workers.labelling.calibration import Calibration, text_evidence
from workers.protocols import VectorIndex

_FIRST = 10
_OBJECTS = Condition(field="kind", op="=", value="object")
EmbedTexts = Callable[[Sequence[str]], Float32Matrix]


@dataclass(frozen=True, slots=True)
class LabelQuery:
    """Hits of a text. `present`: in the whole bucket; otherwise in those images without it."""

    text: str
    present: bool
    hits: tuple[SearchHit, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Presence:
    """Shares of queries whose surest hit is weak, for what is there and for what is not."""

    present_weak: float
    absent_weak: float


def search_labels(
    truth: CocoTruth, matching: Matching, index: VectorIndex, embed_texts: EmbedTexts
) -> Iterator[LabelQuery]:
    """Search for every label: in the whole bucket, and in the bucket without its images.

    The bucket without the images that show any object of this name, however hidden, holds no right
    hit, but much that looks like one.
    """
    image_ids = {
        matching.objects[point.id].image_id: point.payload["image_id"]
        for point in index.scroll([_OBJECTS])
        if point.id in matching.objects
    }
    names = sorted({category.name for category in truth.categories})
    for name, vector in zip(names, embed_texts(names), strict=True):
        wanted = {category.id for category in truth.categories if category.name == name}
        showing = [shows for shows in truth.annotations if shows.category_id in wanted]
        images = {image_ids[shows.image_id] for shows in showing if shows.image_id in image_ids}
        elsewhere = tuple(
            Condition(field="image_id", op="!=", value=image) for image in sorted(images)
        )
        there = any(shows.id in matching.best_iou for shows in showing)
        for present, conditions in ((True, ()), (False, elsewhere)):
            if present and not there:
                continue
            query = IndexQuery(vector, _FIRST, (_OBJECTS, *conditions), max_overlap=MAX_OVERLAP)
            hits = tuple(index.search(query))
            right = tuple(_shows(matching, hit, wanted) for hit in hits)
            yield LabelQuery(name, present, hits, right)


def _shows(matching: Matching, hit: SearchHit, categories: set[int]) -> bool:
    item = matching.objects.get(hit.object_id)
    return bool(item and item.annotation and item.annotation.category_id in categories)


def measure_presence(queries: Sequence[LabelQuery], calibration: Calibration) -> Presence | None:
    """How often what is there and what is not is called weak; None without labels."""
    weak: dict[bool, list[bool]] = {True: [], False: []}
    for query in queries:
        known = [
            calibration.text.probability(*evidence)
            for hit in query.hits
            if (
                evidence := text_evidence(
                    calibration.label_scale, query.text, hit.score, hit.payload
                )
            )
        ]
        if not known and query.hits:
            return None
        surest = calibration.relevance(max(known, default=0.0))
        weak[query.present].append(surest is Relevance.WEAK)
    if not weak[True] or not weak[False]:
        return None
    return Presence(*(sum(weak[there]) / len(weak[there]) for there in (True, False)))
