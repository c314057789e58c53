"""Converts the vectors of points to those of Qdrant Edge."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from schemas.named_vectors import stored_name
from schemas.points import Point, SparseVector
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from workers.indexes.points import NO_WORDS, require_vector


def to_sparse(vector: SparseVector) -> edge.SparseVector:
    """The engine's sparse vector."""
    return edge.SparseVector(vector.indices.tolist(), vector.values.tolist())


def to_vectors(point: Point) -> dict[str, Any]:
    """All vectors of a point, by name. Raises ValueError for a point without the dense one."""
    vectors: dict[str, Any] = {
        VECTOR_NAME: require_vector(point).tolist(),
        WORDS_NAME: to_sparse(point.words or NO_WORDS),
    }
    if point.sparse is not None:
        vectors[SPARSE_NAME] = to_sparse(point.sparse)
    named = point.named_vectors.items()
    return vectors | {stored_name(name): vector.tolist() for name, vector in named}
