"""Finds where masks' contours run, so that the logits of other image tokens need not be computed.

A mask is what lies above a level, and how stable it is two more tell. So only the logits of tokens
near the contour matter; of the others it suffices on which side they lie. An image token is a cell
of 4 x 4 logits. Cells are looked at one in four first, then around what may be a contour, until
nothing unknown touches it: what is missed is an island, or a hole, that lies between those of the
first, so narrower than two cells and without a neighbour that comes near a level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workers.numba_jit import jit_exact

Int16s = npt.NDArray[np.int16]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

_SPACING = 2  # of the cells that are looked at first: every other one has one of them beside it
MOST_MASKS = 3
# A cell has three bits for each mask, of which one is set once it is known where it lies.
_OUTSIDE, _INSIDE, _CONTOUR = np.int16(0b1), np.int16(0b1_000), np.int16(0b1_000_000)
_ANY_OUTSIDE, _ANY_CONTOUR = np.int16(0b111), np.int16(0b111_000_000)
_TO_OUTSIDE = np.int16(MOST_MASKS)  # from the bits of the inside
_NO_BITS = np.int16(0)


class Levels(NamedTuple):
    """The lowest and the highest value that logits are compared with."""

    low: np.float32
    high: np.float32

    @classmethod
    def around(cls, threshold: float, offset: float) -> Levels:
        return cls(np.float32(threshold - offset), np.float32(threshold + offset))


def first_cells(rows: int, columns: int) -> Int64s:
    """One in four cells, so that every other one is beside one of them: int64 (k,), row by row."""
    down, across = (np.unique([*range(0, side, _SPACING), side - 1]) for side in (rows, columns))
    cells: Int64s = np.add.outer(down * columns, across).ravel()
    return cells


def know_nothing(rows: int, columns: int) -> Int16s:
    """What is known of cells before any is looked at: int16 (rows, columns)."""
    return np.zeros((rows, columns), np.int16)


@jit_exact
def note_sides(logits: Float32s, cells: Int64s, levels: Levels, known: Int16s) -> None:
    """Note where some cells, int64 (k,), of which the logits are computed, lie in each mask.

    logits float32 (m, 4 * rows, 4 * columns), m at most `MOST_MASKS`; known int16 (rows, columns).
    A cell whose logits come within a level's distance of the other is taken for a contour as well.
    """
    columns = known.shape[1]
    margin = (levels.high - levels.low) / np.float32(2)
    low, high = levels.low - margin, levels.high + margin
    for cell in cells:
        row, column = cell // columns, cell % columns
        bits = _NO_BITS
        for mask in range(len(logits)):
            least, most = np.float32(np.inf), np.float32(-np.inf)
            for y in range(4 * row, 4 * row + 4):
                for x in range(4 * column, 4 * column + 4):
                    value = logits[mask, y, x]
                    least, most = min(least, value), max(most, value)
            bit = _OUTSIDE if most <= low else (_INSIDE if least > high else _CONTOUR)
            bits |= bit << np.int16(mask)
        known[row, column] = bits


@jit_exact
def next_cells(known: Int16s) -> Int64s:
    """The unknown cells of int16 (rows, columns) that may be on a contour: int64 (k,).

    Those beside a contour, and those that have cells of either side beside them, in any mask.
    """
    rows, columns = known.shape
    found, count = np.empty(rows * columns, np.int64), 0
    around = np.empty(columns, np.int16)
    for row in range(rows):
        _gather_around(known, row, around)
        for column in range(columns):
            seen = around[column]
            both = seen & (seen >> _TO_OUTSIDE) & _ANY_OUTSIDE
            if known[row, column] == _NO_BITS and (both | (seen & _ANY_CONTOUR)) != _NO_BITS:
                found[count] = row * columns + column
                count += 1
    return found[:count]


@jit_exact
def fill_unknown(logits: Float32s, known: Int16s, levels: Levels) -> None:
    """Put the logits of unknown cells, none of which may be on a contour, on their side."""
    rows, columns = known.shape
    below, above = levels.low - np.float32(1), levels.high + np.float32(1)
    around = np.empty(columns, np.int16)
    for row in range(rows):
        _gather_around(known, row, around)
        for mask in range(len(logits)):
            for y in range(4 * row, 4 * row + 4):
                for column in range(columns):
                    if known[row, column] == _NO_BITS:
                        is_inside = around[column] & (_INSIDE << np.int16(mask))
                        value = above if is_inside != _NO_BITS else below
                        logits[mask, y, 4 * column : 4 * column + 4] = value


@jit_exact
def _gather_around(known: Int16s, row: int, around: Int16s) -> None:
    """All bits of each cell of a row, and of the eight around it: int16 (columns,)."""
    rows, columns = known.shape
    own, above, below = known[row], known[max(row - 1, 0)], known[min(row + 1, rows - 1)]
    before, here = _NO_BITS, own[0] | above[0] | below[0]
    for column in range(columns):
        after = _NO_BITS
        if column + 1 < columns:
            after = own[column + 1] | above[column + 1] | below[column + 1]
        around[column] = before | here | after
        before, here = here, after
