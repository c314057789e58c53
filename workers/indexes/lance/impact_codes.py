"""Codes the terms of sparse vectors by how much they count, for an index over lists of numbers.

An index over a list column tells which rows have a number, but not how much it counts. So each
number says both: the term, and one of 16 steps of its weight. A query then reads the rows of its
terms by their steps, and knows between what the score of each lies. Eight more numbers, each there
or not, are the bits of which 256th part of its step a weight lies in: they are read where a step
has too many rows to look at each. The parts of a step are equally wide; but the last step has no
end, so that each of its parts is 2% wider than the one below, and its last has all from 1,417.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from schemas.points import SparseVector

STEPS = 16
"""Of weights: below 0, from 0 to 2^-4, then each 2^(1/2) times the one below; the last has more."""
BITS = 8
_PARTS = 2**BITS
_STEPS_AN_OCTAVE = 2
_LAST_PARTS_AN_OCTAVE = 32
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
    steps = _find_steps(weights)
    first = (vector.indices[present].astype(np.int64) * STEPS + steps) * _CODES_A_STEP
    parts = _find_parts(weights, steps)
    bits = [(first + 1 + bit)[(parts >> bit) & 1 == 1] for bit in range(BITS)]
    codes: Codes = np.concatenate([first, *bits])
    return codes


def _find_steps(weights: Float64s) -> Codes:
    lower, _ = step_bounds()
    steps: Codes = np.searchsorted(lower, weights, side="right") - 1
    return steps


def _find_parts(weights: Float64s, steps: Codes) -> Codes:
    """Which part of its step each weight lies in, from 0."""
    parts: Codes = (weights[:, None] >= _part_edges()[steps, 1:-1]).sum(axis=1, dtype=np.int64)
    return parts


@cache
def _part_edges() -> Float64s:
    """Between which weights the parts of each step lie, float64 (16, 257)."""
    lower, upper = step_bounds()
    edges = np.full((STEPS, _PARTS + 1), np.inf)  # weights below 0 have one part
    for step in range(1, STEPS - 1):
        edges[step] = np.linspace(lower[step], upper[step], _PARTS + 1)
    edges[-1, :-1] = lower[-1] * 2.0 ** (np.arange(_PARTS) / _LAST_PARTS_AN_OCTAVE)
    return edges


def step_bounds() -> tuple[Float64s, Float64s]:
    """float64 (16,) twice: the least weight of each step, and that above all of its weights."""
    octaves = np.arange(STEPS - _SMALLEST) / _STEPS_AN_OCTAVE
    edges = np.concatenate([[0.0], _LEAST_STEP * 2.0 ** octaves[:-1]])
    return np.concatenate([[-np.inf], edges]), np.concatenate([edges, [np.inf]])


def part_bounds(step: int) -> tuple[Float64s, Float64s]:
    """float64 (256,) twice: the same of the parts of a step. Raises ValueError for the first."""
    if step == 0:
        raise ValueError("weights below 0 have no least")
    edges = _part_edges()[step]
    return edges[:-1], edges[1:]
