"""Low-resolution mask logits straight to what is asked of a mask, without ever building one.

segment-anything enlarges a mask's logits to the model's frame, cuts off the padding and resizes
them to the image, both times bilinearly, and counts, boxes and encodes the pixels above a
threshold. Each pixel is a sum over 3 x 3 logits. Where all of these lie on one side of the
threshold so does the pixel, so that only a mask's contour has to be computed: the pixels that start
at one logit, a cell, are inside, outside, or on it, which is told once for all of their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from workers.segmenters.numba_jit import jit_exact

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_TAPS = 3
_OUTSIDE, _CONTOUR, _INSIDE = 0, 1, 2
_BYTES_OF_A_RUN = 8  # of five bits each: a run and its sign
_CHANGES_OF_A_MASK = 1024  # room at first, for each; if it does not suffice, twice as much is taken


@dataclass(frozen=True, slots=True)
class Axis:
    """How one side of an image follows from the logits' side.

    Output i is the sum of `weights[i]`, float32 (size, 3), times the logits from `first[i]` on.
    Outputs `begins[j]` to `begins[j + 1]` start at logit j.
    """

    first: Int32s
    weights: Float32s
    begins: Int32s


def _sources(outputs: int, inputs: int) -> tuple[Int64s, Int64s, Float32s]:
    """PyTorch's bilinear interpolation: both neighbours of each output, weight of the second."""
    scale = np.float32(inputs) / np.float32(outputs)
    places = scale * (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    places = np.maximum(places, np.float32(0))
    low = np.minimum(places.astype(np.int64), inputs - 1)
    share = np.clip(places - low.astype(np.float32), 0, 1).astype(np.float32)
    return low, np.minimum(low + 1, inputs - 1), share


def axis(size: int, used: int, low_side: int, frame_side: int) -> Axis:
    """From `low_side` logits to `frame_side` pixels, of which `used` are resized to `size`.

    `low_side` is at least 3 and at most `frame_side`.
    """
    near, far, share = _sources(size, used)
    low, high, inner = _sources(frame_side, low_side)
    first = np.minimum(low[near], low_side - _TAPS)
    weights = np.zeros((size, _TAPS), np.float32)
    rows = np.arange(size)
    for pixel, outer in ((near, 1 - share), (far, share)):
        for place, within in ((low[pixel], 1 - inner[pixel]), (high[pixel], inner[pixel])):
            weight = outer * within
            used_here = weight != 0
            weights[rows[used_here], (place - first)[used_here]] += weight[used_here]
    begins = np.searchsorted(first, np.arange(low_side + 1), side="left")
    return Axis(first.astype(np.int32), weights, begins.astype(np.int32))


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a crop (height, width) lies in its image."""

    crop_hw: tuple[int, int]
    left: int
    top: int
    image_hw: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """What is known of n masks, without the masks.

    inside and outside, int64 (n,): pixels above the threshold plus and minus the stability offset.
    area int64 (n,). boxes int64 (n, 4): first and last column and row as xyxy in the crop, zeros
    where a mask is empty. counts[k]: those of a compressed COCO RLE of mask k in the image.
    """

    inside: Int64s
    outside: Int64s
    area: Int64s
    boxes: Int64s
    counts: list[str]

    @staticmethod
    def together(parts: Sequence[Traced]) -> Traced:
        """All masks of the parts, in order."""
        none = np.empty(0, np.int64)
        return Traced(
            np.concatenate([none, *(part.inside for part in parts)]),
            np.concatenate([none, *(part.outside for part in parts)]),
            np.concatenate([none, *(part.area for part in parts)]),
            np.concatenate([none.reshape(0, 4), *(part.boxes for part in parts)]),
            [counts for part in parts for counts in part.counts],
        )


class Tracer(Protocol):
    """Traces the masks of a crop, as many at a time as come."""

    def add(self, logits: Tensor) -> None:
        """float32 (n, rows, low_side), of which the last rows may lack."""
        ...

    def traced(self) -> Traced:
        """All masks that were added, in order."""
        ...


class HostTracer:
    """A `Tracer` of logits in the memory of the CPU."""

    def __init__(
        self, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
    ) -> None:
        self._how = rows, columns, frame, threshold, offset
        self._parts: list[Traced] = []

    def add(self, logits: Tensor) -> None:
        self._parts.append(trace(logits.numpy(), *self._how))

    def traced(self) -> Traced:
        return Traced.together(self._parts)


def trace(
    logits: Float32s, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
) -> Traced:
    """Trace the masks of float32 (n, rows, low_side) logits, of which the last rows may lack."""
    count = len(logits)
    totals = np.zeros((count, 7), np.int64)
    ends = np.zeros(count + 1, np.int64)
    changes = np.empty(_CHANGES_OF_A_MASK * count, np.int64)
    image_height = frame.image_hw[0]
    full_height = frame.crop_hw[0] == image_height
    done = 0
    while done < count:
        done = _trace(
            logits, done, rows.first, rows.weights, rows.begins, columns.first, columns.weights,
            columns.begins, np.float32(threshold), np.float32(threshold + offset),
            np.float32(threshold - offset), frame.left, frame.top, image_height, full_height,
            totals, changes, ends,
        )  # fmt: skip
        if done < count:
            changes = np.concatenate([changes, np.empty_like(changes)])
    counts = coco_counts(changes, ends, image_height * frame.image_hw[1])
    return Traced(totals[:, 0], totals[:, 1], totals[:, 2], totals[:, 3:], counts)


def coco_counts(changes: Int64s, ends: Int64s, pixels: int) -> list[str]:
    """Compressed RLEs of masks of so many pixels, from outside at first.

    Mask k changes, column-major, at changes[ends[k] : ends[k + 1]].
    """
    packed = np.zeros_like(ends)
    room = np.empty(_BYTES_OF_A_RUN * (int(ends[-1]) + len(ends)), np.uint8)
    _compress(changes, ends, pixels, room, packed)
    text = room[: packed[-1]].tobytes().decode()
    return [text[begin:end] for begin, end in pairwise(packed.tolist())]


@jit_exact
def _compress(changes: Int64s, ends: Int64s, pixels: int, out: Bytes, packed: Int64s) -> None:
    """Fill `out` and, with where each mask's bytes end, `packed`.

    Runs are written as COCO does (`rleToString` of pycocotools): from the fourth on the difference
    to the last but one, five bits a byte, lowest first, a sixth bit for more to come.
    """
    at = 0
    for mask in range(len(ends) - 1):
        begin, stop = ends[mask], ends[mask + 1]
        last, before, run = 0, 0, 0
        closed = stop > begin and changes[stop - 1] == pixels
        for number in range(begin, stop if closed else stop + 1):
            end = changes[number] if number < stop else pixels
            older, before, run = before, run, end - last
            last = end
            left = run - older if number - begin > 2 else run
            while True:
                bits = left & 31
                left >>= 5
                more = left != (-1 if bits & 16 else 0)
                out[at] = bits + (80 if more else 48)
                at += 1
                if not more:
                    break
        packed[mask + 1] = at


@jit_exact
def _trace(
    logits: Float32s, start: int, y_first: Int32s, y_weights: Float32s, y_begins: Int32s,
    x_first: Int32s, x_weights: Float32s, x_begins: Int32s, threshold: np.float32,
    high: np.float32, low: np.float32, left: int, top: int, image_height: int,
    full_height: bool, totals: Int64s, changes: Int64s, ends: Int64s,
) -> int:  # fmt: skip
    """Fill `totals`, `changes` and `ends` from mask `start` on.

    `changes` are the places, column-major in the image, where a mask begins and ends by turns.
    Returns how many masks are done, fewer than all if what changes of the next might not fit.
    """
    height, width = len(y_first), len(x_first)
    masks, side = len(logits), logits.shape[2]
    rows = min(y_first[height - 1] + 3, logits.shape[1])
    some, all_ = np.empty((side, rows), np.uint8), np.empty((side, rows), np.uint8)
    turned = np.empty((side, rows + 2), np.float32)
    tops, bottoms = np.empty(side, np.int32), np.empty(side, np.int32)
    kinds, firsts, lasts = (
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
    )
    for number in range(start, masks):
        mask, count = logits[number], ends[number]
        totals[number] = 0
        r0, r1, c0, c1 = _bounds(mask, rows, low)
        ends[number + 1] = count
        if r1 < 0:
            continue
        # The first logits of the pixels that may be set, and what these are sums of.
        y_from, y_to = max(r0 - 2, 0), r1
        x_from, x_to = max(c0 - 2, 0), min(c1, side - 3)
        _turn(mask, rows, y_from, y_to, x_from, x_to, turned)
        _judge(turned, y_from, y_to, x_from, x_to, low, high, some, all_, tops, bottoms)
        inside = outside = area = 0
        x0, y0, x1, y1 = width, height, -1, -1
        state = False
        for i in range(x_from, x_to + 1):
            if x_begins[i] >= x_begins[i + 1]:
                continue
            parts = _parts(some, all_, i, tops, bottoms, y_begins, kinds, firsts, lasts)
            for x in range(x_begins[i], x_begins[i + 1]):
                if count + height + 2 > len(changes):
                    return number
                base = (x + left) * image_height + top
                a, b, c = x_weights[x, 0], x_weights[x, 1], x_weights[x, 2]
                y = y_begins[firsts[0]] if parts else height
                if state and y > 0:
                    changes[count] = base
                    count, state = count + 1, False
                any_set = False
                for part in range(parts):
                    j, last = firsts[part], lasts[part]
                    begin, end = y_begins[j], y_begins[last + 1]
                    y = end
                    if kinds[part] == _OUTSIDE:
                        if state:
                            changes[count] = base + begin
                            count, state = count + 1, False
                    elif kinds[part] == _INSIDE:
                        inside += end - begin
                        outside += end - begin
                        area += end - begin
                        if not state:
                            changes[count] = base + begin
                            count, state = count + 1, True
                        any_set = True
                        y0, y1 = min(y0, begin), max(y1, end - 1)
                    else:
                        above = a * turned[i, j] + b * turned[i + 1, j] + c * turned[i + 2, j]
                        j += 1
                        middle = a * turned[i, j] + b * turned[i + 1, j] + c * turned[i + 2, j]
                        for cell in range(j - 1, last + 1):
                            j = cell + 2
                            below = a * turned[i, j] + b * turned[i + 1, j] + c * turned[i + 2, j]
                            for k in range(y_begins[cell], y_begins[cell + 1]):
                                value = y_weights[k, 0] * above + y_weights[k, 1] * middle
                                value += y_weights[k, 2] * below
                                inside += value > high
                                outside += value > low
                                here = value > threshold
                                if here != state:
                                    changes[count] = base + k
                                    count, state = count + 1, here
                                if here:
                                    area += 1
                                    any_set = True
                                    y0, y1 = min(y0, k), max(y1, k)
                            above, middle = middle, below
                if state and (y < height or not full_height):
                    changes[count] = base + y
                    count, state = count + 1, False
                if any_set:
                    x0, x1 = min(x0, x), x
        if state:
            changes[count] = (x_begins[x_to + 1] + left) * image_height
            count += 1
        ends[number + 1] = count
        total = totals[number]
        total[0], total[1], total[2] = inside, outside, area
        if area:
            total[3], total[4], total[5], total[6] = x0, y0, x1, y1
    return masks


@jit_exact
def _bounds(mask: Float32s, rows: int, low: np.float32) -> tuple[int, int, int, int]:
    """First and last row and column of the logits above `low`; the last row is -1 without any."""
    side = mask.shape[1]
    r0, r1, c0, c1 = rows, -1, side, -1
    for j in range(rows):
        found = 0
        for i in range(side):
            found |= mask[j, i] > low
        if not found:
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
    return r0, r1, c0, c1


@jit_exact
def _turn(
    mask: Float32s, rows: int, y_from: int, y_to: int, x_from: int, x_to: int, turned: Float32s
) -> None:
    """Fill `turned` with the columns of logits that these cells need.

    Rows that are not there, whose weight is 0, repeat the last. A row at a time, because rows are
    a power of two apart: places of one column would drive each other out of the cache.
    """
    for j in range(y_from, y_to + 3):
        row = mask[min(j, rows - 1)]
        for i in range(x_from, x_to + 3):
            turned[i, j] = row[i]


@jit_exact
def _judge(
    turned: Float32s, y_from: int, y_to: int, x_from: int, x_to: int, low: np.float32,
    high: np.float32, some: Bytes, all_: Bytes, tops: Int32s, bottoms: Int32s,
) -> None:  # fmt: skip
    """Tell what the cells hold.

    some, all_ (columns, rows): whether of a column's three logits from a row on one is above
    `low`, and whether all are above `high`. tops, bottoms: first and last row with some.
    """
    for i in range(x_from, x_to + 3):
        column = turned[i]
        for j in range(y_from, y_to + 1):
            above, middle, below = column[j], column[j + 1], column[j + 2]
            some[i, j] = (above > low) | (middle > low) | (below > low)
            all_[i, j] = (above > high) & (middle > high) & (below > high)
        top, bottom = y_from, y_to
        while top <= y_to and not some[i, top]:
            top += 1
        while bottom >= top and not some[i, bottom]:
            bottom -= 1
        tops[i], bottoms[i] = top, bottom if bottom >= top else -1


@jit_exact
def _parts(
    some: Bytes, all_: Bytes, i: int, tops: Int32s, bottoms: Int32s, y_begins: Int32s,
    kinds: Int32s, firsts: Int32s, lasts: Int32s,
) -> int:  # fmt: skip
    """Divide a column of cells into parts of one kind, from first to last cell; how many.

    Above the first part and below the last all cells are outside.
    """
    count = 0
    top = min(tops[i], tops[i + 1], tops[i + 2])
    bottom = max(bottoms[i], bottoms[i + 1], bottoms[i + 2])
    for j in range(top, bottom + 1):
        if y_begins[j] >= y_begins[j + 1]:
            continue
        kind = _CONTOUR
        if not some[i, j] | some[i + 1, j] | some[i + 2, j]:
            kind = _OUTSIDE
        elif all_[i, j] & all_[i + 1, j] & all_[i + 2, j]:
            kind = _INSIDE
        if count and kinds[count - 1] == kind:
            lasts[count - 1] = j
        else:
            kinds[count], firsts[count], lasts[count] = kind, j, j
            count += 1
    return count
