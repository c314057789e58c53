"""Points: what an image brings into an index, and what comes back from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from schemas.errors import InvalidVectorError, VectorIndexError
from schemas.ids import IMAGE_ORDINAL, image_id
from schemas.payload import PointPayload, labels_of, payload_of
from schemas.records import (
    VECTOR_NAME,
    WORDS_NAME,
    EmbeddedImage,
    Float32Vector,
    ImageRecord,
    ObjectRecord,
    check_vectors,
)
from schemas.search import IndexQuery, Labelled, RawPoint, SearchHit, Words
from workers.indexes.bm25 import words_of

# A Qdrant server refuses requests of more than 32 MB.
MAX_BATCH_BYTES = 24 * 2**20
RRF_K = 60
"""Of reciprocal rank fusion (G. V. Cormack, C. L. A. Clarke and S. Büttcher, 2009)."""
# Digits, sign, point and comma of a float32 as JSON.
_NUMBER_BYTES = 22


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point to be written: `vector` float32 (dim,), `payload` JSON values."""

    id: str
    vector: Float32Vector
    words: Words
    payload: dict[str, Any]

    @property
    def json_bytes(self) -> int:
        """Upper bound of its size as JSON."""
        numbers = self.vector.size + 2 * self.words.indices.size
        return len(json.dumps(self.payload)) + _NUMBER_BYTES * numbers + 64


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One point as the index returns it; `vector` where it was asked for and is there."""

    id: str
    score: float
    payload: dict[str, Any]
    vector: Float32Vector | None = None
    words: Words | None = None


def found(record: Any) -> Found:
    """One of Qdrant's records, either client's, with score 0."""
    vectors = record.vector if isinstance(record.vector, dict) else {}
    vector, words = vectors.get(VECTOR_NAME), vectors.get(WORDS_NAME)
    return Found(
        str(record.id),
        0.0,
        record.payload or {},
        None if vector is None else np.asarray(vector, np.float32),
        None if words is None else _words(words.indices, words.values),
    )


def raw_row(point: RawPoint) -> PointRow:
    """The row that brings a point into an index as it is. Raises ValueError without a vector."""
    if point.vector is None:
        raise ValueError(f"point {point.id} has no vector")
    words = point.words or _words((), ())
    return PointRow(point.id, point.vector, words, dict(point.payload))


def _words(indices: Sequence[int], values: Sequence[float]) -> Words:
    return Words(np.asarray(indices, np.uint32), np.asarray(values, np.float32))


def labels_payload(item: Labelled, labelled_by: str) -> dict[str, Any]:
    """The fields of a point that tell its labels."""
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

    To be called before anything is written: an index takes half a batch, and takes NaN.
    """
    seen = set()
    for image in images:
        check_vectors(image, dim)
        identity = image_id(image.ref)
        if identity in seen:
            raise ValueError(f"{image.ref.uri} stands twice in one batch")
        seen.add(identity)


def check_query(query: IndexQuery, dim: int) -> None:
    """Raise InvalidVectorError unless the query's vector has `dim` numbers, not all zero."""
    if query.vector.shape != (dim,):
        raise InvalidVectorError(
            f"expected a query vector of {dim} numbers, got shape {query.vector.shape}"
        )
    if not query.vector.any():
        raise InvalidVectorError("expected a query vector other than zero")


def point_rows(
    image: EmbeddedImage, ingested_at: datetime, run_started_at: datetime | None = None
) -> list[PointRow]:
    """The points of an image: the image as a whole, then its objects in their order."""
    records: list[tuple[int, ObjectRecord | ImageRecord]] = [
        (IMAGE_ORDINAL, image.whole),
        *enumerate(image.objects),
    ]
    return [
        PointRow(
            id=str(record.object_id),
            vector=np.asarray(record.vectors[VECTOR_NAME], np.float32),
            words=words_of(labels_of(image, record), image.ref.uri),
            payload=payload_of(image, record, ordinal, ingested_at, run_started_at).model_dump(
                mode="json", exclude_none=True
            ),
        )
        for ordinal, record in records
    ]


def batches(
    rows: Iterable[PointRow], max_points: int, max_bytes: int = MAX_BATCH_BYTES
) -> Iterator[list[PointRow]]:
    """`rows` in order, in lists of at most `max_points`, and `max_bytes` unless one has more."""
    batch: list[PointRow] = []
    held = 0
    for row in rows:
        size = row.json_bytes
        if batch and (len(batch) == max_points or held + size > max_bytes):
            yield batch
            batch, held = [], 0
        batch.append(row)
        held += size
    if batch:
        yield batch


def to_hit(found: Found) -> SearchHit:
    """The typed hit. Raises VectorIndexError for a point that objseek did not write."""
    try:
        payload = PointPayload.model_validate(found.payload)
    except ValidationError as exc:
        fields = ", ".join(sorted({".".join(map(str, error["loc"])) for error in exc.errors()}))
        raise VectorIndexError(
            f"point {found.id} is not one of objseek's (unexpected: {fields})"
        ) from exc
    return SearchHit(object_id=found.id, score=found.score, payload=payload)
