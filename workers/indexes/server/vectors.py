"""Converts points to those of a Qdrant server."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from schemas.errors import UsageError
from schemas.named_vectors import stored_name
from schemas.points import Point
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from workers.indexes.location import ServerAddress
from workers.indexes.points import NO_WORDS, require_vector
from workers.indexes.server.queries import to_sparse


def to_struct(
    point: Point, address: ServerAddress, *, with_words: bool, with_sparse: bool
) -> models.PointStruct:
    """A point with all its vectors by name, as far as the collection at `address` takes them.

    Raises ValueError for a point without the dense one, UsageError for one with a sparse vector
    that there is no place for.
    """
    vectors: dict[str, Any] = {VECTOR_NAME: require_vector(point).tolist()}
    # A collection that is older than words has no place for them.
    if with_words:
        vectors[WORDS_NAME] = to_sparse(point.words or NO_WORDS)
    if point.sparse is not None:
        if not with_sparse:
            raise UsageError(
                f"the collection {address.collection!r} at {address.url} has no place for "
                f"sparse vectors, which point {point.id} has"
            )
        vectors[SPARSE_NAME] = to_sparse(point.sparse)
    for name, vector in point.named_vectors.items():
        vectors[stored_name(name)] = vector.tolist()
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))
