"""Converts points: from images, to requests of a limited size, from records, and to hits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from schemas.errors import InvalidVectorError, VectorIndexError
from schemas.ids import ADDED_ORDINAL, image_id
from schemas.masks import CocoRle
from schemas.named_vectors import plain_name
from schemas.payload import OWN, OwnKind, labels_of, payload_of, read_mask
from schemas.points import IndexQuery, Point, PointLabels, ScoredPoint, SparseVector
from schemas.records import (
    SPARSE_NAME,
    VECTOR_NAME,
    WORDS_NAME,
    EmbeddedImage,
    Float32Vector,
    ImageRecord,
    ObjectRecord,
    check_vectors,
)
from schemas.search import SearchHit
from schemas.thumbnails import THUMBNAIL, parse_webp, thumbnail_check
from workers.indexes.bm25 import words_of

# A Qdrant server refuses requests of more than 32 MB.
MAX_BATCH_BYTES = 24 * 2**20
RRF_K = 60
"""Of reciprocal rank fusion (G. V. Cormack, C. L. A. Clarke and S. Büttcher, 2009)."""
NoteBroken = Callable[[str, str], None]
"""Takes the id of a broken point, and what is wrong with it."""
THUMBNAIL_FIELDS = (THUMBNAIL, "thumbnail_check")
"""Of the payload, what it takes to read a thumbnail."""
NO_WORDS = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
# Digits, sign, point and comma of a float32 as JSON.
_NUMBER_BYTES = 22


def image_points(
    image: EmbeddedImage, ingested_at: datetime, run_started_at: datetime | None = None
) -> list[Point]:
    """The points of an image or video: as a whole or by shots, its objects, those added."""
    points = [
        _make_point(image, record, ordinal, ingested_at, run_started_at)
        for ordinal, record in image.records
    ]
    return points + added_points(image, ingested_at, run_started_at)


def added_points(
    image: EmbeddedImage, ingested_at: datetime, run_started_at: datetime | None = None
) -> list[Point]:
    """The points of those objects alone that were added to an image by hand."""
    return [
        _make_point(image, record, ADDED_ORDINAL, ingested_at, run_started_at)
        for record in image.added
    ]


def _make_point(
    image: EmbeddedImage,
    record: ObjectRecord | ImageRecord,
    ordinal: int,
    ingested_at: datetime,
    run_started_at: datetime | None,
) -> Point:
    payload = payload_of(image, record, ordinal, ingested_at, run_started_at)
    return Point(
        id=str(record.object_id),
        payload=payload.model_dump(mode="json", exclude_none=True),
        vector=np.asarray(record.vectors[VECTOR_NAME], np.float32),
        words=words_of(labels_of(image, record), image.ref.uri, image.word_score),
    )


def own_kinds(points: Iterable[Point], known: Set[str]) -> dict[str, OwnKind]:
    """The kinds of the points' own fields, but for those `known`, by the names filters have."""
    kinds: dict[str, OwnKind] = {}
    for point in points:
        for name, value in (point.payload.get(OWN) or {}).items():
            field = f"{OWN}.{name}"
            if field not in known and field not in kinds:
                kinds[field] = "number" if isinstance(value, int | float) else "text"
    return kinds


def require_vector(point: Point) -> Float32Vector:
    """The vector of a point that is to be written. Raises ValueError for a point without one."""
    if point.vector is None:
        raise ValueError(f"point {point.id} has no vector")
    return point.vector


def json_bytes(point: Point) -> int:
    """An upper bound of a point's size as JSON. Raises ValueError for a point without a vector."""
    terms = (point.words or NO_WORDS).indices.size + (point.sparse or NO_WORDS).indices.size
    named = sum(vector.size for vector in point.named_vectors.values())
    numbers = require_vector(point).size + named + 2 * terms
    return len(json.dumps(point.payload)) + _NUMBER_BYTES * numbers + 64


def batch_points(
    points: Iterable[Point], max_points: int, max_bytes: int = MAX_BATCH_BYTES
) -> Iterator[list[Point]]:
    """`points` in order, in lists of at most `max_points`, and of at most `max_bytes` as JSON.

    A point that is larger than that makes a list of its own.
    """
    batch: list[Point] = []
    held = 0
    for point in points:
        size = json_bytes(point)
        if batch and (len(batch) == max_points or held + size > max_bytes):
            yield batch
            batch, held = [], 0
        batch.append(point)
        held += size
    if batch:
        yield batch


def read_record(record: Any) -> Point:
    """The point of one of Qdrant's records, from either client."""
    return Point(str(record.id), record.payload or {}, **_read_vectors(record))


def read_scored(record: Any) -> ScoredPoint:
    """The point of one of Qdrant's scored points, from either client."""
    return ScoredPoint(
        str(record.id), record.payload or {}, **_read_vectors(record), score=record.score
    )


def _read_vectors(record: Any) -> dict[str, Any]:
    """The vectors of a record, by the fields of a point."""
    vectors = record.vector if isinstance(record.vector, dict) else {}
    vector = vectors.get(VECTOR_NAME)
    return {
        "vector": None if vector is None else np.asarray(vector, np.float32),
        "words": _read_sparse(vectors.get(WORDS_NAME)),
        "sparse": _read_sparse(vectors.get(SPARSE_NAME)),
        "named_vectors": {
            name: np.asarray(numbers, np.float32)
            for stored, numbers in vectors.items()
            if (name := plain_name(stored)) is not None
        },
    }


def _read_sparse(vector: Any) -> SparseVector | None:
    if vector is None:
        return None
    indices, values = np.asarray(vector.indices, np.uint32), np.asarray(vector.values, np.float32)
    return SparseVector(indices, values)


def read_scores(points: Iterable[Any]) -> list[tuple[UUID, float]]:
    """Ids and scores of Qdrant's scored points, from either client: best first, ties by id.

    A number is the id of a point that objseek has not written: those are left out.
    """
    written = (point for point in points if not isinstance(point.id, int))
    scores = [(UUID(str(point.id)), float(point.score)) for point in written]
    return sorted(scores, key=lambda scored: (-scored[1], str(scored[0])))


def to_hit(point: ScoredPoint) -> SearchHit:
    """The typed hit. Raises VectorIndexError for a point that objseek did not write."""
    return SearchHit(object_id=point.id, score=point.score, payload=point.parse_payload())


def read_hits(points: Iterable[ScoredPoint], note_broken: NoteBroken) -> Iterator[SearchHit]:
    """The typed hits; points that objseek did not write are left out, broken masks noted."""
    for point in points:
        try:
            hit = to_hit(point)
        except VectorIndexError as exc:
            note_broken(point.id, str(exc))
            continue
        sound_mask_of(point, note_broken)
        yield hit


def sound_mask_of(point: Point, note_broken: NoteBroken) -> CocoRle | None:
    """The mask of a point, None if it has none; also, noted, if it does not fit its image."""
    try:
        return read_mask(point.payload)
    except ValueError as exc:
        uri = point.payload.get("uri")
        note_broken(point.id, f"the mask of point {point.id} is broken, {exc} ({uri})")
        return None


def read_webp(point: Point) -> bytes | None:
    """The thumbnail of a point, None if it has none. Raises ValueError for another's."""
    text = point.payload.get(THUMBNAIL)
    if text is None:
        return None
    if thumbnail_check(point.id, str(text)) != point.payload.get("thumbnail_check"):
        raise ValueError(f"the thumbnail of point {point.id} is not the one that was written")
    return parse_webp(str(text))


def labels_payload(item: PointLabels, labelled_by: str) -> dict[str, Any]:
    """The payload fields that hold a point's labels."""
    naming = item.naming
    fields = {
        "labels": [label.name for label in naming.labels],
        "label_scores": [label.score for label in naming.labels],
        "labelled_by": labelled_by,
    }
    of_object = {} if naming.logsumexp is None else {"label_logsumexp": naming.logsumexp}
    return fields | of_object


def check_images(images: Sequence[EmbeddedImage], dim: int) -> None:
    """Raise InvalidVectorError unless all vectors can be written, ValueError for a repeated image.

    To be called before anything is written: an index writes half a batch, and accepts NaN.
    """
    seen = set()
    for image in images:
        check_vectors(image, dim)
        identity = image_id(image.ref)
        if identity in seen:
            raise ValueError(f"{image.ref.uri} stands twice in one batch")
        seen.add(identity)


def check_query(query: IndexQuery, dim: int) -> None:
    """Raise InvalidVectorError unless a query's vector, if any, has `dim` numbers, not all zero."""
    if query.vector is None:
        return
    if query.vector.shape != (dim,):
        raise InvalidVectorError(
            f"expected a query vector of {dim} numbers, got shape {query.vector.shape}"
        )
    if not query.vector.any():
        raise InvalidVectorError("expected a query vector other than zero")
