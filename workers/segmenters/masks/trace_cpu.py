"""Traces low-resolution mask logits into areas, boxes and RLEs without building a mask.

segment-anything enlarges a mask's logits to the model's frame, cuts off the padding and resizes
them to the image, both times bilinearly, and counts, boxes and encodes the pixels above a
threshold. Each pixel is a sum over 3 x 3 logits. Where all of these lie on one side of the
threshold so does the pixel, so only a mask's contour has to be computed: a cell, the pixels that
start at one logit, is outside, inside, or on the contour, which is decided once for all its pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from workers.numba_jit import jit_exact, jit_inline
from workers.rle_numba import encode_changes
from workers.segmenters.masks.tracer import (
    Axis,
    Float32s,
    Frame,
    Int32s,
    Int64s,
    TracedMasks,
)

Bytes = npt.NDArray[np.uint8]

_OUTSIDE, _CONTOUR, _INSIDE = 0, 1, 2
_CHANGES_OF_A_MASK = 1024  # room at first, for each; if it does not suffice, twice as much is taken


class HostTracer:
    """A `Tracer` of logits in the memory of the CPU."""

    def __init__(
        self, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
    ) -> None:
        self._how = rows, columns, frame, threshold, offset
        self._parts: list[TracedMasks] = []

    def add(self, logits: Tensor) -> None:
        self._parts.append(trace(logits.numpy(), *self._how))

    def finish(self) -> TracedMasks:
        return TracedMasks.concatenate(self._parts)


class _Crop(NamedTuple):
    """What the masks of one crop share.

    A pixel above `threshold` is in the mask; those above `low` and `high` tell how stable it is.
    `left` and `top`: the crop in the image; `full_height`: its columns are whole ones of the image.
    """

    rows: Axis
    columns: Axis
    threshold: np.float32
    high: np.float32
    low: np.float32
    left: int
    top: int
    image_height: int
    full_height: bool


class _Output(NamedTuple):
    """totals int64 (n, 7): inside, outside, area, box. changes, ends: see `encode_changes`."""

    totals: Int64s
    changes: Int64s
    ends: Int64s


class _Window(NamedTuple):
    """First and last row and column of the cells that may hold set pixels."""

    top: int
    bottom: int
    left: int
    right: int


class _Cells(NamedTuple):
    """What is known of a mask's cells; written anew for every mask.

    logits float32 (columns, rows + 2): transposed, the last row repeated. any_low, all_high uint8
    (columns, rows): whether of a column's three logits from a row on any is above `low`, and
    whether all are above `high`. tops, bottoms int32 (columns,): first and last row with `any_low`.
    kinds, firsts, lasts int32 (rows,): one column of cells as parts of one kind, see `_divide`.
    """

    logits: Float32s
    any_low: Bytes
    all_high: Bytes
    tops: Int32s
    bottoms: Int32s
    kinds: Int32s
    firsts: Int32s
    lasts: Int32s


class _Column(NamedTuple):
    """A column of pixels: its cell, the weights of the three logits there, its first pixel."""

    cell: int
    a: np.float32
    b: np.float32
    c: np.float32
    base: int


class _Tally(NamedTuple):
    """Pixels above `high`, `low` and `threshold`; first and last row of the latter."""

    inside: int
    outside: int
    area: int
    top: int
    bottom: int


def trace(
    logits: Float32s, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
) -> TracedMasks:
    """Trace the masks of float32 (n, rows, low_side) logits; the last rows may be missing."""
    count = len(logits)
    image_height = frame.image_hw[0]
    crop = _Crop(
        rows,
        columns,
        threshold=np.float32(threshold),
        high=np.float32(threshold + offset),
        low=np.float32(threshold - offset),
        left=frame.left,
        top=frame.top,
        image_height=image_height,
        full_height=frame.crop_hw[0] == image_height,
    )
    totals = np.zeros((count, 7), np.int64)
    changes = np.empty(_CHANGES_OF_A_MASK * count, np.int64)
    ends = np.zeros(count + 1, np.int64)
    done = 0
    while done < count:
        done = _trace(logits, done, crop, _Output(totals, changes, ends))
        if done < count:
            changes = np.concatenate([changes, np.empty_like(changes)])
    counts = encode_changes(changes, ends, image_height * frame.image_hw[1])
    return TracedMasks(totals[:, 0], totals[:, 1], totals[:, 2], totals[:, 3:], counts)


@jit_exact
def _trace(logits: Float32s, start: int, crop: _Crop, out: _Output) -> int:
    """Fill `out` from mask `start` on; how many masks are done.

    Fewer than all are where the changes of the next might not fit.
    """
    side = logits.shape[2]
    rows = min(crop.rows.first[-1] + 3, logits.shape[1])
    cells = _Cells(
        np.empty((side, rows + 2), np.float32),
        np.empty((side, rows), np.uint8),
        np.empty((side, rows), np.uint8),
        np.empty(side, np.int32),
        np.empty(side, np.int32),
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
    )
    for number in range(start, len(logits)):
        mask, count = logits[number], out.ends[number]
        out.totals[number] = 0
        window = _find_window(mask, rows, crop.low)
        if window.bottom >= 0:
            _transpose(mask, rows, window, cells.logits)
            _classify(cells, window, crop.low, crop.high)
            count = _trace_mask(crop, window, cells, out.changes, count, out.totals[number])
            if count < 0:
                return number
        out.ends[number + 1] = count
    return len(logits)


@jit_inline
def _trace_mask(
    crop: _Crop, window: _Window, cells: _Cells, changes: Int64s, count: int, total: Int64s
) -> int:
    """Fill `total`, and `changes` from `count` on; their number then, -1 if they might not fit."""
    height, begins, weights = len(crop.rows.first), crop.columns.begins, crop.columns.weights
    inside = outside = area = 0
    x0, y0, x1, y1 = len(crop.columns.first), height, -1, -1
    state = False
    for cell in range(window.left, window.right + 1):
        if begins[cell] >= begins[cell + 1]:
            continue
        parts = _divide(cells, cell, crop.rows.begins)
        for x in range(begins[cell], begins[cell + 1]):
            if count + height + 2 > len(changes):
                return -1
            base = (x + crop.left) * crop.image_height + crop.top
            column = _Column(cell, weights[x, 0], weights[x, 1], weights[x, 2], base)
            count, state, tally = _trace_column(crop, column, cells, parts, changes, count, state)
            inside += tally.inside
            outside += tally.outside
            if tally.area:
                area += tally.area
                x0, x1 = min(x0, x), x
                y0, y1 = min(y0, tally.top), max(y1, tally.bottom)
    if state:
        changes[count] = (begins[window.right + 1] + crop.left) * crop.image_height
        count += 1
    total[0], total[1], total[2] = inside, outside, area
    if area:
        total[3], total[4], total[5], total[6] = x0, y0, x1, y1
    return count


@jit_inline
def _trace_column(
    crop: _Crop,
    column: _Column,
    cells: _Cells,
    parts: int,
    changes: Int64s,
    count: int,
    state: bool,
) -> tuple[int, bool, _Tally]:
    """Append the changes of a column of pixels, which begins in `state`."""
    height, begins, base = len(crop.rows.first), crop.rows.begins, column.base
    inside = outside = area = 0
    top, bottom = height, -1
    y = begins[cells.firsts[0]] if parts else height
    if state and y > 0:
        changes[count] = base
        count, state = count + 1, False
    for part in range(parts):
        first, last = cells.firsts[part], cells.lasts[part]
        begin, y = begins[first], begins[last + 1]
        if cells.kinds[part] == _CONTOUR:
            count, state, tally = _trace_contour(crop, column, cells, part, changes, count, state)
            inside += tally.inside
            outside += tally.outside
            area += tally.area
            top, bottom = min(top, tally.top), max(bottom, tally.bottom)
            continue
        within = cells.kinds[part] == _INSIDE
        if within != state:
            changes[count] = base + begin
            count, state = count + 1, within
        if within:
            inside += y - begin
            outside += y - begin
            area += y - begin
            top, bottom = min(top, begin), max(bottom, y - 1)
    if state and (y < height or not crop.full_height):
        changes[count] = base + y
        count, state = count + 1, False
    return count, state, _Tally(inside, outside, area, top, bottom)


@jit_inline
def _trace_contour(
    crop: _Crop, column: _Column, cells: _Cells, part: int, changes: Int64s, count: int, state: bool
) -> tuple[int, bool, _Tally]:
    """Compute the pixels of a part on the contour, and append their changes."""
    begins, weights, logits = crop.rows.begins, crop.rows.weights, cells.logits
    threshold, high, low = crop.threshold, crop.high, crop.low
    i, a, b, c, base = column
    inside = outside = area = 0
    top, bottom = len(crop.rows.first), -1
    j = cells.firsts[part]
    above = a * logits[i, j] + b * logits[i + 1, j] + c * logits[i + 2, j]
    j += 1
    middle = a * logits[i, j] + b * logits[i + 1, j] + c * logits[i + 2, j]
    for cell in range(j - 1, cells.lasts[part] + 1):
        j = cell + 2
        below = a * logits[i, j] + b * logits[i + 1, j] + c * logits[i + 2, j]
        for y in range(begins[cell], begins[cell + 1]):
            value = weights[y, 0] * above + weights[y, 1] * middle
            value += weights[y, 2] * below
            inside += value > high
            outside += value > low
            here = value > threshold
            if here != state:
                changes[count] = base + y
                count, state = count + 1, here
            if here:
                area += 1
                top, bottom = min(top, y), max(bottom, y)
        above, middle = middle, below
    return count, state, _Tally(inside, outside, area, top, bottom)


@jit_exact
def _find_window(mask: Float32s, rows: int, low: np.float32) -> _Window:
    """Cells with logits above `low` among their own; `bottom` is -1 without any."""
    side = mask.shape[1]
    r0, r1, c0, c1 = rows, -1, side, -1
    for j in range(rows):
        above = 0
        for i in range(side):
            above |= mask[j, i] > low
        if not above:
            continue
        r0, r1 = min(r0, j), j
        i = 0
        while i < c0 and not mask[j, i] > low:
            i += 1
        c0 = min(c0, i)
        i = side - 1
        while i > c1 and not mask[j, i] > low:
            i -= 1
        c1 = max(c1, i)
    return _Window(max(r0 - 2, 0), r1, max(c0 - 2, 0), min(c1, side - 3))


@jit_exact
def _transpose(mask: Float32s, rows: int, window: _Window, transposed: Float32s) -> None:
    """Fill `transposed` with the columns of logits that these cells need.

    Rows that are not there, whose weight is 0, repeat the last. Written a row at a time: rows are a
    power of two apart, so that the logits of one column would drive each other out of the cache.
    """
    for j in range(window.top, window.bottom + 3):
        row = mask[min(j, rows - 1)]
        for i in range(window.left, window.right + 3):
            transposed[i, j] = row[i]


@jit_exact
def _classify(cells: _Cells, window: _Window, low: np.float32, high: np.float32) -> None:
    """Fill `any_low`, `all_high`, `tops` and `bottoms` of the cells."""
    any_low, all_high = cells.any_low, cells.all_high
    for i in range(window.left, window.right + 3):
        column = cells.logits[i]
        for j in range(window.top, window.bottom + 1):
            above, middle, below = column[j], column[j + 1], column[j + 2]
            any_low[i, j] = (above > low) | (middle > low) | (below > low)
            all_high[i, j] = (above > high) & (middle > high) & (below > high)
        top, bottom = window.top, window.bottom
        while top <= window.bottom and not any_low[i, top]:
            top += 1
        while bottom >= top and not any_low[i, bottom]:
            bottom -= 1
        cells.tops[i], cells.bottoms[i] = top, bottom if bottom >= top else -1


@jit_exact
def _divide(cells: _Cells, i: int, begins: Int32s) -> int:
    """Divide column `i` of the cells into parts of one kind, from first to last cell; how many.

    Above the first part and below the last all cells are outside.
    """
    any_low, all_high, tops, bottoms = cells.any_low, cells.all_high, cells.tops, cells.bottoms
    count = 0
    top = min(tops[i], tops[i + 1], tops[i + 2])
    bottom = max(bottoms[i], bottoms[i + 1], bottoms[i + 2])
    for j in range(top, bottom + 1):
        if begins[j] >= begins[j + 1]:
            continue
        kind = _CONTOUR
        if not any_low[i, j] | any_low[i + 1, j] | any_low[i + 2, j]:
            kind = _OUTSIDE
        elif all_high[i, j] & all_high[i + 1, j] & all_high[i + 2, j]:
            kind = _INSIDE
        if count and cells.kinds[count - 1] == kind:
            cells.lasts[count - 1] = j
        else:
            cells.kinds[count], cells.firsts[count], cells.lasts[count] = kind, j, j
            count += 1
    return count
