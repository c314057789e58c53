"""Codes the terms of sparse vectors by how much they count, for an index over lists of numbers.

An index over a list column tells which rows have a number, but not how much it counts. So each
number says both: the term, and one of 16 steps of its weight. A query then reads the rows of its
terms step by step, those that count most first, and knows how much what it has not read could add.
Eight more numbers, each there or not, are the bits of which 256th part of its step a weight lies
in: they are read where a step has too many rows to look at each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.points import SparseVector

STEPS = 16
"""Of weights: below 0, from 0 to 2^-4, then each 2^(1/2) times the one below; the last has more."""
BITS = 8
_PARTS = 2**BITS
_STEPS_AN_OCTAVE = 2
_LEAST_STEP = 2.0**-4
_SMALLEST = 1
_CODES_A_STEP = 1 + BITS
Codes = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


def step_code(term: int, step: int) -> int:
    """The number of the rows that have a term with a weight of a step."""
    return (term * STEPS + step) * _CODES_A_STEP


def bit_codes(term: int, step: int) -> list[int]:
    """The numbers of those of them whose weight lies in a part with each bit, the lowest first."""
    code = step_code(term, step)
    return [code + 1 + bit for bit in range(BITS)]


def impact_codes(vector: SparseVector) -> Codes:
    """All numbers of a sparse vector's terms, int64 (n,); none for weights of 0."""
    present = vector.values != 0
    weights = vector.values[present].astype(np.float64)
    steps = _steps(weights)
    first = (vector.indices[present].astype(np.int64) * STEPS + steps) * _CODES_A_STEP
    parts = _parts(weights, steps)
    bits = [(first + 1 + bit)[(parts >> bit) & 1 == 1] for bit in range(BITS)]
    codes: Codes = np.concatenate([first, *bits])
    return codes


def _steps(weights: Float64s) -> Codes:
    lower, _ = step_bounds()
    steps: Codes = np.searchsorted(lower, weights, side="right") - 1
    return steps


def _parts(weights: Float64s, steps: Codes) -> Codes:
    """Which part of its step each weight lies in, from 0."""
    lower, width = _part_widths()
    bounded = np.isfinite(lower[steps])
    parts = np.zeros(steps.shape, np.int64)
    above = weights[bounded] - lower[steps[bounded]]
    parts[bounded] = np.minimum(above / width[steps[bounded]], _PARTS - 1).astype(np.int64)
    return parts


def _part_widths() -> tuple[Float64s, Float64s]:
    """float64 (16,) twice: the least weight of each step, and how much a part of it spans."""
    lower, upper = step_bounds()
    # The last step has no end: parts of it are as wide as if the next step began there.
    ends = np.where(np.isfinite(upper), upper, lower * 2.0 ** (1 / _STEPS_AN_OCTAVE))
    return lower, (ends - lower) / _PARTS


def step_bounds() -> tuple[Float64s, Float64s]:
    """float64 (16,) twice: the least weight of each step, and that above all of its weights."""
    octaves = np.arange(STEPS - _SMALLEST) / _STEPS_AN_OCTAVE
    edges = np.concatenate([[0.0], _LEAST_STEP * 2.0 ** octaves[:-1]])
    return np.concatenate([[-np.inf], edges]), np.concatenate([edges, [np.inf]])


def part_bounds(step: int) -> tuple[Float64s, Float64s]:
    """float64 (256,) twice: the same of the parts of a step. Raises ValueError for the first."""
    lower, width = _part_widths()
    if not np.isfinite(lower[step]):
        raise ValueError("weights below 0 have no least")
    edges = lower[step] + width[step] * np.arange(1, _PARTS + 1)
    # A weight that is rounded at an edge may lie in the part beside it.
    slack = width[step] * 1e-6
    _, upper = step_bounds()
    return np.concatenate([[lower[step]], edges[:-1]]) - slack, np.concatenate(
        [edges[:-1] + slack, [upper[step]]]
    )
