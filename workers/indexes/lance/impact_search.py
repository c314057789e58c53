"""Finds the points that count most for a sparse vector, by an index over `impact_codes`.

The rows of a query's terms are read step by step, the steps that count most first (as in R. Fagin,
A. Lotem and M. Naor, Optimal aggregation algorithms for middleware, 2003), until no row that was
not read can be among the first. What is left is scored exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.points import SparseVector
from workers.indexes.lance.impact_codes import STEPS, step_bounds

Addresses = npt.NDArray[np.uint64]
Scores = npt.NDArray[np.float64]
FindRows = Callable[[Sequence[int]], list[Addresses]]
"""The rows that have each of some codes, uint64 (n,) each."""
ScoreRows = Callable[[Addresses], Scores]
"""The exact scores of rows, float64 (n,)."""

_STEPS_AT_ONCE = 5
_MOST_SCORED = 4096


@dataclass(slots=True)
class _Read:
    """The rows that were read, each once, and what is known of their scores by that.

    `least` and `most` by the terms whose weight was read; `known` is the sum of the query's weights
    above 0 of these. All (n,).
    """

    addresses: Addresses = field(default_factory=lambda: np.zeros(0, np.uint64))
    least: Scores = field(default_factory=lambda: np.zeros(0))
    most: Scores = field(default_factory=lambda: np.zeros(0))
    known: Scores = field(default_factory=lambda: np.zeros(0))

    def add(self, parts: Sequence[tuple[Addresses, float, float, float]]) -> None:
        """Add rows, with what one term of them scores at least and at most, and its weight."""
        addresses = np.concatenate([self.addresses, *(rows for rows, *_ in parts)])
        unique, inverse = np.unique(addresses, return_inverse=True)

        def add_up(before: Scores, values: Sequence[float]) -> Scores:
            sizes = [rows.size for rows, *_ in parts]
            each = np.concatenate([before, np.repeat(values, sizes)])
            total: Scores = np.bincount(inverse, each, unique.size).astype(np.float64)
            return total

        _, least, most, known = zip(*parts, strict=True)
        self.least = add_up(self.least, least)
        self.most = add_up(self.most, most)
        self.known = add_up(self.known, known)
        self.addresses = unique

    def floor(self, limit: int) -> float:
        """What the `limit`-th best row scores at least."""
        if self.least.size < limit:
            return -np.inf
        return float(np.partition(self.least, -limit)[-limit])


def find_best(
    query: SparseVector, limit: int, find_rows: FindRows, score_rows: ScoreRows
) -> tuple[Addresses, Scores]:
    """The first `limit` rows, or more, that have a term of the query, by the dot product.

    Best first. Where more than can be scored may be among the first, these are the likeliest.
    """
    gains = np.maximum(query.values.astype(np.float64), 0)
    read = _Read()
    # What takes away is read first: without it the least that a row scores would not be known.
    _read_steps(read, query, range(1), find_rows)
    unread = STEPS  # steps from 1 to below this one
    while unread > 1:
        steps = range(max(1, unread - _STEPS_AT_ONCE), unread)
        _read_steps(read, query, steps, find_rows)
        unread = steps.start
        surely_first = read.floor(limit) > _most_weight(unread) * gains.sum()
        if surely_first and (query.values >= 0).all():
            break
    most = read.most + _most_weight(unread) * (gains.sum() - read.known)
    hopeful = np.flatnonzero(most >= read.floor(limit))
    if hopeful.size > _MOST_SCORED:
        hopeful = hopeful[np.argsort(-most[hopeful], kind="stable")[:_MOST_SCORED]]
    scores = score_rows(read.addresses[hopeful])
    order = np.argsort(-scores, kind="stable")
    return read.addresses[hopeful][order], scores[order]


def _read_steps(read: _Read, query: SparseVector, steps: range, find_rows: FindRows) -> None:
    """Read the rows of these steps of all terms."""
    lower, upper = step_bounds()
    weights = query.values.tolist()
    wanted = [(place, step) for place in range(len(weights)) for step in steps]
    found = find_rows([int(query.indices[place]) * STEPS + step for place, step in wanted])
    parts = []
    for (place, step), rows in zip(wanted, found, strict=True):
        if rows.size:
            weight = weights[place]
            least, most = sorted((weight * lower[step], weight * upper[step]))
            parts.append((rows, least, most, max(weight, 0.0)))
    if parts:
        read.add(parts)


def _most_weight(unread: int) -> float:
    """The greatest weight of a term in the steps from 1 to below `unread`; 0 if there are none."""
    _, upper = step_bounds()
    return float(upper[unread - 1]) if unread > 1 else 0.0
