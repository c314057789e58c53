"""Resolves queries by a named vector of the user's own, which no embedder has a part in."""

from __future__ import annotations

import numpy as np

from pipeline.search.resolved_example import ResolvedExample
from pipeline.search.resolved_query import ResolvedQuery
from pipeline.search.same_object import unit
from schemas.errors import UsageError
from schemas.named_vectors import NamedDims, describe_dims
from schemas.search import SearchQuery


def resolve_named(query: SearchQuery, dims: NamedDims) -> ResolvedQuery:
    """The vector of a query that has `using`.

    Raises UsageError, which lists the named vectors that there are, for another name or length.
    """
    name, values = query.using, query.vector
    assert name is not None
    assert values is not None
    if name not in dims:
        raise UsageError(
            f"expected the name of a vector of the index in `using` ({describe_dims(dims)}), "
            f"got {name!r}"
        )
    if len(values) != dims[name]:
        raise UsageError(
            f"expected a vector of {dims[name]} numbers to search by {name!r} of the index "
            f"({describe_dims(dims)}), got {len(values)}"
        )
    numbers = np.array(values, np.float64)
    # Squares of the largest numbers would be infinite, and those of the smallest zero.
    vector = unit(numbers / np.abs(numbers).max())
    return ResolvedQuery(vector, (ResolvedExample(vector, 1.0),), ())
