"""Takes vectors and sparse vectors to search with as Python has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pipeline.messages import validation_sentence
from schemas.errors import UsageError
from schemas.sparse_terms import SparseTerms

VectorLike = Sequence[float] | npt.NDArray[np.floating]
"""float (dim,) or (1, dim)."""
SparseLike = (
    Mapping[int, float] | tuple[Sequence[int] | npt.NDArray[np.integer], VectorLike] | SparseTerms
)
"""Weights by index, or indices and weights."""


@contextmanager
def raising_usage_errors() -> Iterator[None]:
    """Say in a sentence what is wrong with a query, as UsageError."""
    try:
        yield
    except ValidationError as exc:
        raise UsageError(validation_sentence(exc)) from exc


def parse_vector(vector: VectorLike | None) -> tuple[float, ...] | None:
    """A vector to search with; None without one. Raises UsageError unless it is sound."""
    if vector is None:
        return None
    try:
        numbers = np.asarray(vector, np.float64)
    except (ValueError, TypeError) as exc:
        raise UsageError(f"expected a vector of numbers to search with: {exc}") from exc
    if numbers.ndim not in (1, 2) or numbers.shape[:-1] not in ((), (1,)):
        raise UsageError(f"expected one vector to search with, (dim,), got shape {numbers.shape}")
    if not np.isfinite(numbers).all() or not numbers.any():
        raise UsageError("expected a vector of finite numbers that are not all zero, got another")
    return tuple(numbers.ravel().tolist())


def parse_sparse(sparse: SparseLike | None) -> SparseTerms | None:
    """A sparse vector to search with; None without one. Raises UsageError unless it is sound."""
    if sparse is None or isinstance(sparse, SparseTerms):
        return sparse
    pair = (tuple(sparse), tuple(sparse.values())) if isinstance(sparse, Mapping) else sparse
    try:
        indices, values = (np.asarray(part).tolist() for part in pair)
        return SparseTerms(indices=indices, values=values)
    except ValidationError as exc:
        raise UsageError(f"the sparse vector is wrong: {validation_sentence(exc)}") from exc
    except (ValueError, TypeError) as exc:
        raise UsageError(
            "expected a sparse vector as weights by index, or as indices and weights, got "
            f"{type(sparse).__name__}"
        ) from exc
