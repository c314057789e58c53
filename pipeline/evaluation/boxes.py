"""Measures searches by a box in an indexed image: is the first hit what it is drawn round?"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.evaluation.matching import Matching, must_be_found
from pipeline.search.found_objects import FoundObject, find_image, list_indexed
from pipeline.search.same_object import has_length, unit
from schemas.box_choice import choose_mask
from schemas.coco import CocoAnnotation, CocoId, CocoTruth
from schemas.points import IndexQuery, Point
from schemas.search import MAX_OVERLAP, Box, Condition
from workers.protocols import VectorIndex

GROWN = (0.0, 0.25, 0.5)
"""How much wider a box is drawn than the object's own, at each side, as a share of it."""
_MOST_BOXES = 2000
_OBJECTS_ONLY = (Condition(field="kind", op="=", value="object"),)


def measure_boxes(
    truth: CocoTruth,
    found: Mapping[CocoId, Sequence[Point]],
    matching: Matching,
    index: VectorIndex,
) -> dict[float, float | None]:
    """By each of `GROWN`, the share of objects to be found that are the first hit of their box.

    Objects that the index does not hold count as well. A box that no mask fits finds nothing here,
    so that no image needs to be read again. Of many objects evenly spaced ones are measured.
    """
    first: dict[float, list[bool]] = defaultdict(list)
    sizes = {image.id: image for image in truth.images}
    wanted = [item for item in truth.annotations if must_be_found(item, sizes[item.image_id])]
    objects_of: dict[CocoId, tuple[FoundObject, ...]] = {}
    for annotation in wanted[:: max(1, len(wanted) // _MOST_BOXES)]:
        image = sizes[annotation.image_id]
        if image.id not in objects_of:
            objects_of[image.id] = _list_objects(index, found[image.id])
        for share in GROWN:
            box = grow_box(annotation, share, image.size_hw)
            hit = _find_first(index, objects_of[image.id], box)
            shown = matching.objects[hit].annotation if hit in matching.objects else None
            first[share].append(shown is not None and shown.id == annotation.id)
    return {share: float(np.mean(first[share])) if first[share] else None for share in GROWN}


def _list_objects(index: VectorIndex, points: Sequence[Point]) -> tuple[FoundObject, ...]:
    if not points:
        return ()
    return list_indexed(index, find_image(index, points[0].payload["image_id"]))


def _find_first(index: VectorIndex, objects: Sequence[FoundObject], box: Box) -> str | None:
    best = choose_mask([found.mask for found in objects], box)
    if best is None:
        return None
    identity = uuid.UUID(objects[best].object_id)
    vector = index.stored([identity])[identity].vector
    if not has_length(vector):
        return None
    hits = index.search(IndexQuery(unit(vector), 1, _OBJECTS_ONLY, max_overlap=MAX_OVERLAP))
    return hits[0].object_id if hits else None


def grow_box(annotation: CocoAnnotation, share: float, size_hw: tuple[int, int]) -> Box:
    """The annotation's box, wider at each side by a share of it, within the image; whole pixels."""
    x, y, width, height = annotation.bbox
    dx, dy = share * width, share * height
    return (
        max(0, round(x - dx)),
        max(0, round(y - dy)),
        min(size_hw[1], max(round(x + width + dx), round(x - dx) + 1)),
        min(size_hw[0], max(round(y + height + dy), round(y - dy) + 1)),
    )
