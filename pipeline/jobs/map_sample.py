"""Takes a sample of the objects of an index, with their vectors and their surest labels."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from pipeline.search.same_object import has_length, unit
from schemas.object_map import MOST_LABELS, NO_LABEL
from schemas.points import Point
from schemas.records import Float32Matrix
from schemas.search import Condition
from workers.protocols import VectorIndex

_AT_ONCE = 1000
_ID_BYTES = 16

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSample:
    """Objects by their ids, uint8 (n, 16), with unit vectors, float32 (n, dim).

    `label_of`, uint16 (n,), are places in `labels`, NO_LABEL for none; `objects` is how many there
    are in all.
    """

    ids: npt.NDArray[np.uint8]
    vectors: Float32Matrix
    label_of: npt.NDArray[np.uint16]
    labels: tuple[str, ...]
    objects: int


def sample_objects(
    index: VectorIndex,
    most: int,
    conditions: Sequence[Condition],
    label_score: float,
    report: Report,
) -> ObjectSample:
    """At most `most` objects under all conditions; labels with at least `label_score` count.

    The sample is even, as ids are hashes, and the same again for the same objects. Raises what the
    index does.
    """
    ids, label_of, labels = _list_objects(index, conditions, label_score, report)
    total = len(ids)
    if total > most:
        first = ids[:, :8].copy().view(">u8")[:, 0].astype(np.uint64)
        chosen = np.sort(np.argpartition(first, most)[:most])
        ids, label_of = ids[chosen], label_of[chosen]
    vectors = np.zeros((len(ids), index.dim), np.float32)
    there = np.zeros(len(ids), np.bool_)
    for start in range(0, len(ids), _AT_ONCE):
        report(f"reading vectors: {start:,} of {len(ids):,} objects")
        wanted = [UUID(bytes=bytes(row)) for row in ids[start : start + _AT_ONCE]]
        found = index.vectors(wanted, dense=True, words=False)
        for place, name in enumerate(wanted, start):
            vector = found[name].vector if name in found else None
            if has_length(vector):
                vectors[place], there[place] = unit(vector), True
    return ObjectSample(ids[there], vectors[there], label_of[there], labels, total)


def _list_objects(
    index: VectorIndex, conditions: Sequence[Condition], label_score: float, report: Report
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16], tuple[str, ...]]:
    ids, label_of = bytearray(), array("H")
    places: dict[str, int] = {}
    of_objects = Condition(field="kind", op="=", value="object")
    for number, point in enumerate(index.scroll((of_objects, *conditions))):
        if number % (10 * _AT_ONCE) == 0:
            report(f"listing objects: {number:,}")
        ids += UUID(point.id).bytes
        label = _surest_label(point, label_score)
        known = label is not None and (label in places or len(places) < MOST_LABELS)
        label_of.append(places.setdefault(label, len(places)) if known and label else NO_LABEL)
    rows = np.frombuffer(bytes(ids), np.uint8).reshape(-1, _ID_BYTES)
    return rows, np.array(label_of, np.uint16), tuple(places)


def _surest_label(point: Point, label_score: float) -> str | None:
    """The first label if it is sure enough, else what its segmenter calls the object."""
    names, scores = point.payload.get("labels"), point.payload.get("label_scores")
    if names and scores and scores[0] >= label_score:
        return str(names[0])
    own = point.payload.get("segmenter_label")
    return None if own is None else str(own)
