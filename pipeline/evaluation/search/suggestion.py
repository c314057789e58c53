"""Suggests queries with what is right for each, from the labels of images that an index holds."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from pipeline.evaluation.search.query_file import JudgedQuery, RightAnswers
from pipeline.evaluation.search.true_objects import TrueObject, TrueObjects
from schemas.errors import UsageError
from schemas.search import MAX_CONDITIONS, Box, Condition
from workers.protocols import VectorIndex

_A_QUARTER = 4
_Item = TypeVar("_Item")
_OBJECTS = Condition(field="kind", op="=", value="object")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Queries by what they ask for: texts for what is there and for what is not, and boxes."""

    texts: tuple[JudgedQuery, ...]
    absent: tuple[JudgedQuery, ...]
    boxes: tuple[JudgedQuery, ...]

    @property
    def queries(self) -> tuple[JudgedQuery, ...]:
        return (*self.texts, *self.absent, *self.boxes)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """An object whose label is known; `object_id` is None for one of a truth."""

    image_id: str
    uri: str
    box_xyxy: Box
    object_id: str | None = None


def suggest_from_truth(truth: TrueObjects, count: int, seed: int) -> Suggestion:
    """At most `count` queries, the same for a seed; their right answers are labels.

    Half are texts, a label each, of which something is there that must be found. A quarter are
    texts for what is not: labels of the truth that nothing is called, then others in the images
    without them, as far as these can be left out by a filter. A quarter are boxes round objects of
    which there is another in another image, as many labels as possible.
    """
    shown = {label: truth.list_objects(label) for label in sorted(truth.labels)}
    labelled = {
        label: [_of_truth(each, truth) for each in objects if each.must]
        for label, objects in shown.items()
    }
    chance = random.Random(seed)
    absent = list(_list_absent(shown, chance))[: count // _A_QUARTER]
    boxes = _list_boxes(labelled, chance, count // _A_QUARTER)
    there = [label for label, objects in labelled.items() if objects]
    texts = [
        JudgedQuery(text=label, right=RightAnswers(labels=(label,)))
        for label in _draw(there, count - len(absent) - len(boxes), chance)
    ]
    return Suggestion(tuple(texts), tuple(absent), tuple(boxes))


def suggest_from_index(index: VectorIndex, count: int, seed: int) -> Suggestion:
    """At most `count` queries, the same for a seed, from what objects are called.

    By the segmenter, if it knows classes, or by who added them by hand; not by the embedder's
    guesses. Their right answers are ids of objects. Nobody has said what is not there, so that
    nothing asks for it. Raises UsageError where no object has such a label.
    """
    labelled: dict[str, list[_Labelled]] = defaultdict(list)
    for point in index.scroll([_OBJECTS]):
        if point.payload.get("segmenter_label"):
            payload = point.parse_payload()
            item = _Labelled(payload.image_id, payload.uri, payload.bbox, point.id)
            labelled[str(payload.segmenter_label)].append(item)
    if not labelled:
        raise UsageError(
            "expected --truth FILE, objects of the images in COCO's instances format: the labels "
            "of this index are guesses of its embedder, by which search would be measured by itself"
        )
    known = {
        label: sorted(labelled[label], key=lambda each: str(each.object_id))
        for label in sorted(labelled)
    }
    chance = random.Random(seed)
    boxes = _list_boxes(known, chance, count // _A_QUARTER)
    texts = [
        JudgedQuery(text=label, right=_list_ids(known[label]))
        for label in _draw(list(known), count - len(boxes), chance)
    ]
    return Suggestion(tuple(texts), (), tuple(boxes))


def _of_truth(item: TrueObject, truth: TrueObjects) -> _Labelled:
    return _Labelled(item.image_id, truth.uri_of(item.image_id), item.rle.bbox_xyxy)


def _list_absent(
    shown: Mapping[str, Sequence[TrueObject]], chance: random.Random
) -> Iterator[JudgedQuery]:
    """Texts for what is not there: first what is in no image, then what is left out with its own.

    All images count that show any of it, however hidden.
    """
    labels = _draw(list(shown), len(shown), chance)
    for label in labels:
        if not shown[label]:
            yield JudgedQuery(text=label, right=RightAnswers())
    for label in labels:
        images = sorted({each.image_id for each in shown[label]})
        if images and len(images) <= MAX_CONDITIONS:
            yield JudgedQuery(
                name=f"{label}, in images without it",
                text=label,
                filter=tuple(f"image_id!={image}" for image in images),
                right=RightAnswers(),
            )


def _list_boxes(
    labelled: Mapping[str, Sequence[_Labelled]], chance: random.Random, most: int
) -> list[JudgedQuery]:
    """Boxes round one object of each label after the other, then round a second of each."""
    waiting = [
        (label, _draw(objects, len(objects), chance))
        for label, objects in labelled.items()
        if len({each.image_id for each in objects}) > 1
    ]
    chance.shuffle(waiting)
    boxes: list[JudgedQuery] = []
    while waiting and len(boxes) < most:
        for label, objects in waiting[: most - len(boxes)]:
            item = objects.pop()
            boxes.append(_ask_by_box(label, item, labelled[label]))
        waiting = [(label, objects) for label, objects in waiting if objects]
    return boxes


def _ask_by_box(label: str, item: _Labelled, others: Sequence[_Labelled]) -> JudgedQuery:
    right = RightAnswers(labels=(label,))
    if item.object_id is not None:
        right = _list_ids([each for each in others if each.image_id != item.image_id])
    return JudgedQuery(
        name=f"{label} in {PurePosixPath(item.uri).name}",
        image=item.uri,
        box_xyxy=item.box_xyxy,
        right=right,
    )


def _list_ids(objects: Sequence[_Labelled]) -> RightAnswers:
    return RightAnswers(objects=tuple(str(each.object_id) for each in objects))


def _draw(items: Sequence[_Item], most: int, chance: random.Random) -> list[_Item]:
    return chance.sample(list(items), min(most, len(items)))
