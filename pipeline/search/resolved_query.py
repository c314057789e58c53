"""Combines the examples of a query into one vector to search near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.search.query_examples import Examples
from pipeline.search.resolved_example import ResolvedExample
from pipeline.search.same_object import unit
from schemas.errors import UsageError
from schemas.records import Float32Matrix, Float32Vector
from schemas.search import ImageCopy, Region, SearchQuery

NEGATIVE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedQuery:
    """A query whose examples have been resolved.

    `vector` is unit, float32 (dim,); None where a sparse vector alone is searched with.
    """

    vector: Float32Vector | None
    positive: tuple[ResolvedExample, ...]
    negative: tuple[ResolvedExample, ...]

    @property
    def example_ids(self) -> frozenset[str]:
        """The objects that the query was asked with; they are no hits of it."""
        examples = (*self.positive, *self.negative)
        return frozenset().union(*(example.object_ids for example in examples))

    @property
    def regions(self) -> tuple[Region | None, ...]:
        """The region that each positive example shows."""
        return tuple(example.region for example in self.positive)

    @property
    def copies(self) -> tuple[ImageCopy, ...]:
        """The indexed images that the positive examples are copies of."""
        return tuple(copy for example in self.positive for copy in example.copies)


def resolve_query(query: SearchQuery, examples: Examples) -> ResolvedQuery:
    """The examples of a query, and the vector that they stand for together.

    The mean of what is wanted, less half of the mean of what is not: `unit(q - 0.5 n)` with q and n
    means of unit vectors by weight. It is the direction of Qdrant's `average_vector`, 2q - n, and
    Rocchio's relevance feedback (J. J. Rocchio, "Relevance feedback in information retrieval",
    1971), whose usual weight of 0.15 hardly moves CLIP's texts, which all lie in a narrow cone.
    Raises UsageError for examples that leave nothing, and what `Examples.resolve` raises.
    """
    positive = [examples.resolve(example, query.max_overlap) for example in query.wanted]
    negative = [examples.resolve(example, query.max_overlap) for example in query.negative]
    if not positive:
        return ResolvedQuery(None, (), ())
    vector = _mean_vector(positive)
    if negative:
        vector = vector - NEGATIVE_WEIGHT * _mean_vector(negative)
    if not np.linalg.norm(vector) > 1e-6:
        raise UsageError("expected examples that differ from what is not wanted, got the same")
    return ResolvedQuery(unit(vector), tuple(positive), tuple(negative))


def stack_vectors(examples: Sequence[ResolvedExample]) -> Float32Matrix | None:
    """One row an example; None without any."""
    return np.stack([example.vector for example in examples]) if examples else None


def _mean_vector(examples: Sequence[ResolvedExample]) -> Float32Vector:
    weights = np.array([example.weight for example in examples])
    # The smallest weights are zero in float32, and so might all of them be.
    weights = (weights / weights.max()).astype(np.float32)
    vectors = np.stack([example.vector for example in examples])
    mean: Float32Vector = weights @ vectors / weights.sum()
    return mean
