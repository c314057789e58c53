"""Finds the points that count most for a sparse vector, by an index over `impact_codes`.

The rows of a query's terms are read with the step of each weight, which says between what a row's
score lies. Where more rows than are worth a look each may be among the first, parts of the steps
tell them apart. What is left is scored exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.points import SparseVector
from workers.indexes.lance.impact_codes import (
    BITS,
    STEPS,
    bit_codes,
    part_bounds,
    step_bounds,
    step_code,
)

Addresses = npt.NDArray[np.uint64]
Scores = npt.NDArray[np.float64]
FindRows = Callable[[Sequence[int]], list[Addresses]]
"""The rows that have each of some codes, uint64 (n,) each."""
ScoreRows = Callable[[Addresses], Scores]
"""The exact scores of rows, float64 (n,)."""
_TermStep = tuple[int, int]
"""The place of a term in a query, and a step of its weight."""

# Each row that is scored is a request. What more of them cannot be told apart has terms in the same
# parts of steps, or more terms than are told apart: those with the highest least score are taken.
SPARE = 64
# Of rows whose least or most is not known: weights below 0, and those of the last part, have none.
_MOST_SCORED = 4096
_MOST_TOLD_APART = 24  # terms' steps, each eight lists


@dataclass(frozen=True, slots=True)
class _Read:
    """Rows, each once, and what they score at least and at most; (n,) each."""

    addresses: Addresses
    least: Scores
    most: Scores

    @classmethod
    def of(cls, parts: Sequence[tuple[Addresses, float, float]]) -> _Read:
        """Of rows with what one term of them scores at least and at most."""
        sizes = [rows.size for rows, *_ in parts]
        every = np.concatenate([np.zeros(0, np.uint64), *(rows for rows, *_ in parts)])
        unique, inverse = np.unique(every, return_inverse=True)

        def add_up(values: list[float]) -> Scores:
            each = np.repeat(np.array(values, np.float64), sizes)
            total: Scores = np.bincount(inverse, each, unique.size).astype(np.float64)
            return total

        return cls(
            unique, add_up([least for _, least, _ in parts]), add_up([most for *_, most in parts])
        )

    def find_hopeful(self, limit: int) -> npt.NDArray[np.intp]:
        """Which rows may be among the first `limit`."""
        floor = -np.inf
        if self.least.size >= limit:
            floor = float(np.partition(self.least, -limit)[-limit])
        return np.flatnonzero(self.most >= floor)


def find_best(
    query: SparseVector,
    limit: int,
    find_rows: FindRows,
    score_rows: ScoreRows,
    *,
    spare: int = SPARE,
) -> tuple[Addresses, Scores]:
    """The first `limit` rows, or more, that have a term of the query, by the dot product.

    Best first. Where more than `limit` and `spare` may be among the first, these are the likeliest.
    """
    lists = _read_steps(query, find_rows)
    lower, upper = step_bounds()
    read = _Read.of(
        [
            (rows, *_bounds(query, place, lower[step], upper[step]))
            for (place, step), rows in lists.items()
        ]
    )
    hopeful = read.find_hopeful(limit)
    if hopeful.size > limit + spare:
        read = _tell_apart(query, lists, read.addresses[hopeful], find_rows)
        hopeful = read.find_hopeful(limit)
        likeliest = np.lexsort((-read.most[hopeful], -read.least[hopeful]))
        bounded = bool(np.isfinite([read.least[hopeful], read.most[hopeful]]).all())
        hopeful = hopeful[likeliest[: limit + spare if bounded else _MOST_SCORED]]
    scores = score_rows(read.addresses[hopeful])
    order = np.argsort(-scores, kind="stable")
    return read.addresses[hopeful][order], scores[order]


def _read_steps(query: SparseVector, find_rows: FindRows) -> dict[_TermStep, Addresses]:
    """The rows of each step of all terms that has any."""
    terms = query.indices.tolist()
    wanted = [(place, step) for place in range(len(terms)) for step in range(STEPS)]
    found = find_rows([step_code(terms[place], step) for place, step in wanted])
    return {key: rows for key, rows in zip(wanted, found, strict=True) if rows.size}


def _bounds(query: SparseVector, place: int, lower: float, upper: float) -> tuple[float, float]:
    """What a term of a query adds at least and at most."""
    weight = float(query.values[place])
    least, most = sorted((weight * lower, weight * upper))
    return least, most


def _tell_apart(
    query: SparseVector,
    lists: Mapping[_TermStep, Addresses],
    hopeful: Addresses,
    find_rows: FindRows,
) -> _Read:
    """What is known of hopeful rows by the parts of the steps that leave most open."""
    lower, upper = step_bounds()
    rows_of = {key: np.intersect1d(rows, hopeful) for key, rows in lists.items()}

    def leaves_open(key: _TermStep) -> float:
        place, step = key
        return float(abs(query.values[place]) * (upper[step] - lower[step]) * rows_of[key].size)

    bounded = [key for key in rows_of if np.isfinite(lower[key[1]]) and rows_of[key].size]
    chosen = sorted(bounded, key=leaves_open, reverse=True)[:_MOST_TOLD_APART]
    parts_of = _read_parts(query, {key: rows_of[key] for key in chosen}, find_rows)
    parts = []
    for (place, step), rows in rows_of.items():
        if (place, step) not in parts_of:
            parts.append((rows, *_bounds(query, place, lower[step], upper[step])))
            continue
        least, most = part_bounds(step)
        of_row = parts_of[place, step]
        parts += [
            (rows[of_row == part], *_bounds(query, place, least[part], most[part]))
            for part in np.unique(of_row).tolist()
        ]
    return _Read.of(parts)


def _read_parts(
    query: SparseVector, rows_of: Mapping[_TermStep, Addresses], find_rows: FindRows
) -> dict[_TermStep, npt.NDArray[np.int64]]:
    """Which part of its step each row's weight lies in, int64 (n,) for each term's step."""
    codes = [bit_codes(int(query.indices[place]), step) for place, step in rows_of]
    found = iter(find_rows([code for each in codes for code in each]))
    parts_of = {}
    for key, rows in rows_of.items():
        parts = np.zeros(rows.size, np.int64)
        for bit in range(BITS):
            parts |= np.isin(rows, next(found)).astype(np.int64) << bit
        parts_of[key] = parts
    return parts_of
