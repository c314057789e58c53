"""Low-resolution mask logits straight to what is asked of a mask, without ever building one.

segment-anything enlarges a mask's logits to the model's frame, cuts off the padding and resizes
them to the image, both times bilinearly, and counts, boxes and encodes the pixels above a
threshold. Each pixel is a sum over 3 x 3 logits. Where all of these lie on one side of the
threshold so does the pixel, so that only a mask's contour has to be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

_TAPS = 3
_RUNS_OF_A_MASK = 4096  # room at first; a mask that needs more is traced again with more

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compiled at its first call; the machine code is kept where a folder for it can be written.

    Without fast-math: sums are those of the order written, so that masks depend on no CPU.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True)(function))


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
    where a mask is empty. runs of mask k: int64 lengths as in uncompressed COCO RLE, column-major
    in the image, zeros first.
    """

    inside: Int64s
    outside: Int64s
    area: Int64s
    boxes: Int64s
    runs: list[Int64s]


def trace(
    logits: Float32s, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
) -> Traced:
    """Trace the masks of float32 (n, rows, low_side) logits, of which the last rows may lack."""
    count = len(logits)
    totals = np.zeros((count, 7), np.int64)
    runs: list[Int64s] = []
    room = np.empty(_RUNS_OF_A_MASK, np.int64)
    full_height = frame.crop_hw[0] == frame.image_hw[0]
    pixels = frame.image_hw[0] * frame.image_hw[1]
    for number in range(count):
        while True:
            used = _trace_mask(
                logits[number], rows.first, rows.weights, rows.begins, columns.first,
                columns.weights, np.float32(threshold), np.float32(threshold + offset),
                np.float32(threshold - offset), frame.left, frame.top, frame.image_hw[0],
                full_height, totals[number], room,
            )  # fmt: skip
            if used >= 0:
                break
            room = np.empty(2 * len(room), np.int64)
        ends = room[:used]
        if not used or ends[-1] < pixels:
            ends = np.append(ends, pixels)
        runs.append(np.diff(ends, prepend=0))
    return Traced(totals[:, 0], totals[:, 1], totals[:, 2], totals[:, 3:], runs)


@_compiled
def _trace_mask(
    logits: Float32s, y_first: Int32s, y_weights: Float32s, y_begins: Int32s, x_first: Int32s,
    x_weights: Float32s, threshold: np.float32, high: np.float32, low: np.float32, left: int,
    top: int, image_height: int, full_height: bool, totals: Int64s, changes: Int64s,
) -> int:  # fmt: skip
    """Fill `totals` and `changes`, the places where the mask begins and ends by turns.

    Returns how many changes there are, -1 if they do not fit.
    """
    height, width = len(y_first), len(x_first)
    rows = min(y_first[height - 1] + 3, logits.shape[0])
    totals[:] = 0
    r0, r1, c0, c1 = rows, -1, logits.shape[1], -1
    for j in range(rows):
        for i in range(logits.shape[1]):
            if logits[j, i] > low:
                r0, r1 = min(r0, j), j
                c0, c1 = min(c0, i), max(c1, i)
    if r1 < 0:
        return 0
    start, stop = max(r0 - 2, 0), r1  # the first logits of the pixels that may be set
    last = min(stop + 2, rows - 1)
    turned = logits[: last + 1].T.copy()
    mixed = np.zeros(stop + 3, np.float32)
    inside = outside = area = count = 0
    x0, y0, x1, y1 = width, height, -1, -1
    state = False
    for x in range(width):
        base = (x + left) * image_height + top
        i = x_first[x]
        if i > c1 or i + 2 < c0:
            if state:
                changes[count] = base
                count, state = count + 1, False
            continue
        if count + height + 2 > len(changes):
            return -1
        a, b, c = x_weights[x, 0], x_weights[x, 1], x_weights[x, 2]
        for j in range(start, last + 1):
            mixed[j] = a * turned[i, j] + b * turned[i + 1, j] + c * turned[i + 2, j]
        for j in range(last + 1, stop + 3):
            mixed[j] = mixed[last]  # rows that are not there have weight 0
        y = y_begins[start]
        if state and y > 0:
            changes[count] = base
            count, state = count + 1, False
        any_set = False
        for j in range(start, stop + 1):
            begin, end = y_begins[j], y_begins[j + 1]
            if begin >= end:
                continue
            y = end
            above, middle, below = mixed[j], mixed[j + 1], mixed[j + 2]
            if max(above, middle, below) <= low:
                if state:
                    changes[count] = base + begin
                    count, state = count + 1, False
            elif min(above, middle, below) > high:
                inside += end - begin
                outside += end - begin
                area += end - begin
                if not state:
                    changes[count] = base + begin
                    count, state = count + 1, True
                any_set = True
                y0, y1 = min(y0, begin), max(y1, end - 1)
            else:
                for k in range(begin, end):
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
        if state and (y < height or not full_height):
            changes[count] = base + y
            count, state = count + 1, False
        if any_set:
            x0, x1 = min(x0, x), x
    if state:
        changes[count] = (width + left) * image_height
        count += 1
    totals[0], totals[1], totals[2] = inside, outside, area
    if area:
        totals[3], totals[4], totals[5], totals[6] = x0, y0, x1, y1
    return count
