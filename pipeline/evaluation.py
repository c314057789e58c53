"""Score an index against ground truth: are the objects found, and does search find them?"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.thing import thing_of
from pipeline.truth import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.errors import UsageError
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import MAX_OVERLAP, Condition, IndexQuery, SearchHit
from workers.protocols import VectorIndex

MIN_VISIBLE_FRACTION = 0.5
MIN_SIDE_PX, REFERENCE_SIDE_PX = 32, 640
MATCH_IOU, CLOSE_IOU = 0.5, 0.75
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
    keyword_r10: float | None
    similar_r10: float | None
    images: int
    objects: int


@dataclass(frozen=True, slots=True)
class Seen:
    """An indexed object with the annotation that it shows, if any."""

    object_id: str
    image_id: int
    annotation: CocoAnnotation | None


@dataclass(frozen=True, slots=True)
class Matching:
    """IoU of the best indexed object for every counted annotation; what each object shows."""

    best_iou: dict[int, float]
    seen: dict[str, Seen]


def counts(annotation: CocoAnnotation, image: CocoImage) -> bool:
    """Whether an object must be found: visible enough, large enough, not a crowd."""
    longer = max(annotation.bbox[2:]) * REFERENCE_SIDE_PX / max(image.width, image.height)
    return (
        annotation.visible_fraction >= MIN_VISIBLE_FRACTION
        and longer >= MIN_SIDE_PX
        and not annotation.iscrowd
    )


def by_image(points: Iterable[SearchHit], truth: CocoTruth) -> dict[int, list[SearchHit]]:
    """Indexed objects of each image of the truth, which is found by the end of the uri."""
    image_of = {image.file_name.lstrip("/"): image.id for image in truth.images}
    depth = max((name.count("/") for name in image_of), default=0)
    found: dict[int, list[SearchHit]] = {image.id: [] for image in truth.images}
    indexed: set[int] = set()
    for point in points:
        parts = point.payload.uri.split("/")
        tails = ("/".join(parts[-n:]) for n in range(1, depth + 2))
        number = next((image_of[tail] for tail in tails if tail in image_of), None)
        if number is None:
            continue
        indexed.add(number)
        if point.payload.kind == "object":
            found[number].append(point)
    if not indexed:
        raise UsageError("no image of the ground truth is in the index: do the file names agree?")
    return found


def _check_size(image: CocoImage, points: Sequence[SearchHit]) -> None:
    for payload in (point.payload for point in points):
        if (payload.width, payload.height) != (image.width, image.height):
            raise UsageError(
                f"the ground truth has {image.file_name} as {image.width} x {image.height} pixels, "
                f"the index has {payload.uri} as {payload.width} x {payload.height}"
            )


def match(truth: CocoTruth, found: dict[int, list[SearchHit]]) -> Matching:
    """Hold every indexed object against the annotations of its image."""
    of_image: dict[int, list[CocoAnnotation]] = defaultdict(list)
    for annotation in truth.annotations:
        of_image[annotation.image_id].append(annotation)
    best_iou: dict[int, float] = {}
    seen: dict[str, Seen] = {}
    for image in truth.images:
        annotations, points = of_image[image.id], found[image.id]
        _check_size(image, points)
        rles = [a.coco_rle(image.width, image.height) for a in annotations]
        mine = [point.payload.rle.model_dump() for point in points if point.payload.rle]
        iou = np.zeros((len(mine), len(rles)))
        if mine and rles:
            iou = np.asarray(coco_mask.iou(mine, rles, [0] * len(rles)))
        for column, annotation in enumerate(annotations):
            if counts(annotation, image):
                best_iou[annotation.id] = float(iou[:, column].max(initial=0.0))
        for row, point in enumerate(points):
            column = int(iou[row].argmax()) if rles else -1
            shown = annotations[column] if rles and iou[row, column] >= MATCH_IOU else None
            seen[point.object_id] = Seen(point.object_id, image.id, shown)
    return Matching(best_iou, seen)


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
) -> list[int]:
    ranks = []
    for vector, categories in zip(embed_texts(queries), right_categories, strict=True):
        hits = index.search(_objects_near(vector, FIRST))

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


def _within(ranks: Sequence[int], first: int) -> float:
    return float(np.mean([rank < first for rank in ranks])) if ranks else 0.0


def score(truth: CocoTruth, index: VectorIndex, embed_texts: EmbedTexts) -> Scores:
    """All figures of an index that holds the images of `truth`.

    Objects count when at least half visible and at least 32 px of 640 long. A hit is right when
    its mask has IoU >= 0.5 with an annotation of what was asked for. Object to object: hits in
    the same scene or, of the same concept, in the same style, are neither right nor wrong.
    """
    matching = match(truth, by_image(index.scroll(), truth))
    ious = list(matching.best_iou.values())
    matched = [iou for iou in ious if iou >= MATCH_IOU]
    present_ids = {a.category_id for a in truth.annotations if a.id in matching.best_iou}
    present = [category for category in truth.categories if category.id in present_ids]
    labels = [category.name for category in present]
    same_name = [{c.id for c in truth.categories if c.name == label} for label in labels]
    label_ranks = _text_ranks(labels, same_name, index, embed_texts, matching.seen)
    words, right = _keyword_queries(present, truth.categories)
    keyword_ranks = _text_ranks(words, right, index, embed_texts, matching.seen) if words else []
    similar_ranks = _similar_ranks(index, matching)
    return Scores(
        object_recall_50=_share(ious, MATCH_IOU),
        object_recall_75=_share(ious, CLOSE_IOU),
        mean_iou=float(np.mean(matched)) if matched else 0.0,
        label_r1=_within(label_ranks, 1),
        label_r10=_within(label_ranks, FIRST),
        keyword_r10=_within(keyword_ranks, FIRST) if keyword_ranks else None,
        similar_r10=_within(similar_ranks, FIRST) if similar_ranks else None,
        images=len(truth.images),
        objects=len(ious),
    )
