"""Is it told whether what is asked for is there? Queries in a bucket with it, and without."""

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
class Asked:
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


def asked_for(
    truth: CocoTruth, matching: Matching, index: VectorIndex, embed_texts: EmbedTexts
) -> Iterator[Asked]:
    """Every label as a query: where it is to be found, and in the bucket without its images.

    The bucket without the images that show any object of this name, however hidden, is one in which
    what is asked for is absent, and much that looks like it is not.
    """
    image_ids = {
        matching.seen[point.id].image_id: point.payload["image_id"]
        for point in index.scroll([_OBJECTS])
        if point.id in matching.seen
    }
    names = sorted({category.name for category in truth.categories})
    for name, vector in zip(names, embed_texts(names), strict=True):
        wanted = {one.id for one in truth.categories if one.name == name}
        showing = [one for one in truth.annotations if one.category_id in wanted]
        images = {image_ids[one.image_id] for one in showing if one.image_id in image_ids}
        elsewhere = tuple(
            Condition(field="image_id", op="!=", value=image) for image in sorted(images)
        )
        there = any(one.id in matching.best_iou for one in showing)
        for present, conditions in ((True, ()), (False, elsewhere)):
            if present and not there:
                continue
            query = IndexQuery(vector, _FIRST, (_OBJECTS, *conditions), max_overlap=MAX_OVERLAP)
            hits = tuple(index.search(query))
            seen = (matching.seen.get(hit.object_id) for hit in hits)
            right = tuple(
                one is not None
                and one.annotation is not None
                and one.annotation.category_id in wanted
                for one in seen
            )
            yield Asked(name, present, hits, right)


def presence(asked: Sequence[Asked], calibration: Calibration) -> Presence | None:
    """How often what is there and what is not is called weak; None without labels."""
    weak: dict[bool, list[bool]] = {True: [], False: []}
    for one in asked:
        known = [
            calibration.text.probability(*evidence)
            for hit in one.hits
            if (
                evidence := text_evidence(calibration.label_scale, one.text, hit.score, hit.payload)
            )
        ]
        if not known and one.hits:
            return None
        surest = calibration.relevance(max(known, default=0.0))
        weak[one.present].append(surest is Relevance.WEAK)
    if not weak[True] or not weak[False]:
        return None
    return Presence(*(sum(weak[there]) / len(weak[there]) for there in (True, False)))
