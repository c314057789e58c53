"""Gathers all masks of one object: a segmenter often finds it more than once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from pipeline.search.same_frame import frame_conditions
from schemas.errors import VectorIndexError
from schemas.overlaps import mask_ios, mask_iou
from schemas.points import Point
from schemas.records import Float32Vector
from schemas.search import Condition
from workers.indexes.points import sound_mask_of
from workers.protocols import VectorIndex

_SAME_OBJECT_IOU = 0.5
"""COCO's least IoU of two masks of one object."""


@dataclass(frozen=True, slots=True, eq=False)
class SameObject:
    """An indexed object with the other masks of it in the same image, or frame of a video.

    `vector`, float32 (dim,), is the mean of the unit vectors of all masks whose IoU with the
    object's is at least 0.5: one mask may lack a part of the object, another may take in a bit of
    its neighbour, and what they agree on is the object. `overlapping` are the ids of all objects
    whose IoS with it is above a limit, its own among them.
    """

    own: Point
    vector: Float32Vector
    overlapping: frozenset[str]


def gather_object(
    index: VectorIndex, object_id: uuid.UUID, max_overlap: float
) -> SameObject | None:
    """All masks of an object, None if the index does not hold it.

    Only masks that the same pipeline has found count. A point for a whole image stands for itself
    alone, and so does one whose mask is broken. Raises VectorIndexError for a point that is none of
    objseek's.
    """
    own = index.stored([object_id]).get(object_id)
    if own is None or own.vector is None:
        return None
    payload, own_rle = own.parse_payload(), sound_mask_of(own, index.note_broken)
    if not has_length(own.vector):
        raise VectorIndexError(
            f"expected a finite vector other than zero, point {own.id} has none ({payload.uri}): "
            "`objseek verify --repair` has its image done again"
        )
    if own_rle is None:
        return SameObject(own, unit(own.vector), frozenset([own.id]))
    points = index.scroll(
        (
            *frame_conditions(payload),
            Condition(field="kind", op="=", value="object"),
            Condition(field="fingerprint", op="=", value=payload.fingerprint),
        )
    )
    masks = {point.id: sound_mask_of(point, index.note_broken) for point in points}
    rle_of = {name: rle for name, rle in masks.items() if rle is not None}
    ids, rles = [*rle_of], [*rle_of.values()]
    iou, ios = mask_iou(rles, [own_rle])[:, 0], mask_ios(rles, [own_rle])[:, 0]
    same = [uuid.UUID(ids[row]) for row in np.flatnonzero(iou >= _SAME_OBJECT_IOU)]
    stored = index.stored(same).values()
    vectors = [unit(point.vector) for point in stored if has_length(point.vector)]
    overlapping = [ids[row] for row in np.flatnonzero(ios > max_overlap)]
    vector = unit(np.mean(vectors, axis=0))
    return SameObject(own, vector, frozenset([own.id, *overlapping]))


def has_length(vector: Float32Vector | None) -> TypeGuard[Float32Vector]:
    """Whether there is a vector, float32 (dim,), that has a direction."""
    return vector is not None and 0 < float(np.linalg.norm(vector)) < np.inf


def unit(vector: Float32Vector) -> Float32Vector:
    """`vector`, float32 (dim,), at length 1. Raises ValueError for a zero vector."""
    length = float(np.linalg.norm(vector))
    if not length > 0:
        raise ValueError("expected a vector other than zero")
    return (vector / length).astype(np.float32)
