"""Everything that an index holds of one thing: a segmenter often finds it more than once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from schemas.points import Point
from schemas.records import Float32Vector
from schemas.search import Condition
from workers.protocols import VectorIndex

SAME_THING_IOU = 0.5
"""COCO's least IoU of two masks of one object."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """An indexed object with what else its image holds of the same.

    `vector`, float32 (dim,), is the mean of the unit vectors of all masks whose IoU with the
    object's is at least 0.5: one mask may lack a part of the thing, another takes in a bit of its
    neighbour, and what they agree on is the thing. `covered` are the ids of all objects that share
    more than the asked share of the smaller mask with it, its own among them.
    """

    own: Point
    vector: Float32Vector
    covered: frozenset[str]


def thing_of(index: VectorIndex, object_id: uuid.UUID, max_overlap: float) -> Thing | None:
    """The thing that an object shows, None if the index does not hold it.

    Only what the same pipeline has made of the image counts. A point for a whole image stands for
    itself alone.
    """
    own = index.stored([object_id]).get(object_id)
    if own is None or own.vector is None:
        return None
    payload = own.parse_payload()
    if payload.rle is None:
        return Thing(own, unit(own.vector), frozenset([own.id]))
    there = index.scroll(
        (
            Condition(field="image_id", op="=", value=payload.image_id),
            Condition(field="kind", op="=", value="object"),
            Condition(field="fingerprint", op="=", value=payload.fingerprint),
        )
    )
    found_there = {point.id: point.payload["rle"] for point in there if point.payload.get("rle")}
    ids, masks, mine = [*found_there], [*found_there.values()], payload.rle.model_dump()
    iou = np.asarray(coco_mask.iou(masks, [mine], [0])).ravel()
    # Against a crowd, COCO divides by the first mask's area alone.
    of_theirs = np.asarray(coco_mask.iou(masks, [mine], [1])).ravel()
    of_mine = np.asarray(coco_mask.iou([mine], masks, [1] * len(masks))).ravel()
    shared = np.maximum(of_theirs, of_mine)
    same = [uuid.UUID(ids[row]) for row in np.flatnonzero(iou >= SAME_THING_IOU)]
    vectors = [unit(p.vector) for p in index.stored(same).values() if p.vector is not None]
    covered = [ids[row] for row in np.flatnonzero(shared > max_overlap)]
    vector = unit(np.mean(vectors, axis=0))
    return Thing(own, vector, frozenset([own.id, *covered]))


def unit(vector: Float32Vector) -> Float32Vector:
    """`vector`, float32 (dim,), at length 1. Raises ValueError for a zero vector."""
    length = float(np.linalg.norm(vector))
    if not length > 0:
        raise ValueError("expected a vector other than zero")
    return (vector / length).astype(np.float32)
