"""Codes the terms of sparse vectors by how much they count, for an index over lists of numbers.

An index over a list column tells which rows have a number, but not how much it counts. So each
number says both: the term, and one of 16 steps of its weight. A query then reads the rows of its
terms step by step, those that count most first, and knows how much what it has not read could add.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.points import SparseVector

STEPS = 16
"""Of weights: below 0, from 0 to 2^-4, then each 2^(1/2) times the one below; the last has more."""
_STEPS_AN_OCTAVE = 2
_LEAST_STEP = 2.0**-4
_SMALLEST = 1
Codes = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


def impact_codes(vector: SparseVector) -> Codes:
    """int64 (n,): 16 times the term, plus the step of its weight; none for weights of 0."""
    present = vector.values != 0
    terms: Codes = vector.indices[present].astype(np.int64)
    return terms * STEPS + _steps(vector.values[present])


def _steps(weights: npt.NDArray[np.float32]) -> Codes:
    lower, _ = step_bounds()
    steps: Codes = np.searchsorted(lower, weights.astype(np.float64), side="right") - 1
    return steps


def step_bounds() -> tuple[Float64s, Float64s]:
    """float64 (16,) twice: the least weight of each step, and that above all of its weights."""
    octaves = np.arange(STEPS - _SMALLEST) / _STEPS_AN_OCTAVE
    edges = np.concatenate([[0.0], _LEAST_STEP * 2.0 ** octaves[:-1]])
    return np.concatenate([[-np.inf], edges]), np.concatenate([edges, [np.inf]])
