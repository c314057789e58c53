"""Traces masks on CUDA in two kernels of Triton, without ever making a whole mask.

What `trace_gpu` does in a dozen passes over whole masks is done here where the pixels are computed,
a column of a mask at a time, and only where its logits allow any pixel. The first kernel measures,
so that the second knows where to write the places at which a mask changes.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# ruff: noqa: N803 (constants of a kernel are named so)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from workers.segmenters.masks.trace_gpu import TracedPart, collect_parts, find_ends, round_limits
from workers.segmenters.masks.tracer import Axis, Frame, TracedMasks, make_axis

_BLOCK = 256  # pixels of a column at a time
_SLACK = 1e-3  # of a bound by the largest logit: weights add up to 1 but for their rounding
_CHANGES, _INSIDE, _OUTSIDE, _AREA, _FIRST, _LAST = range(6)
_MEASURES = 6


class FusedTracer:
    """See `Tracer`: what `DeviceTracer` returns, for logits on CUDA."""

    def __init__(
        self, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
    ) -> None:
        self._rows, self._columns, self._frame = rows, columns, frame
        self._limits = round_limits(threshold, offset)
        self._axes: tuple[Tensor, ...] | None = None
        self._parts: list[TracedPart] = []

    @torch.inference_mode()
    def add(self, logits: Tensor) -> None:
        if self._axes is None:
            self._axes = tuple(
                torch.from_numpy(values).to(logits.device)
                for axis in (self._rows, self._columns)
                for values in (axis.first, axis.weights)
            )
        self._parts.append(self._trace(logits.contiguous(), self._axes))

    def finish(self) -> TracedMasks:
        return collect_parts(self._parts, self._frame)

    def _trace(self, logits: Tensor, axes: tuple[Tensor, ...]) -> TracedPart:
        count, rows, low_side = logits.shape
        height, width = self._frame.crop_hw
        tall = self._frame.image_hw[0]
        touched, spans = self._find_touched(logits, axes)
        grid = (count, width)
        shared = (logits, *axes, touched, spans, rows, low_side, height, width)
        measures = torch.empty(count, width, _MEASURES, dtype=torch.int32, device=logits.device)
        sizes = {"JOINED": height == tall, "BLOCK": _BLOCK, "MEASURES": _MEASURES}
        _measure_column[grid](*shared, measures, *self._limits, **sizes)
        ends = measures[..., _CHANGES].flatten().cumsum(0)
        changes = torch.empty(int(ends[-1]), dtype=torch.int64, device=logits.device)
        _write_changes[grid](
            *shared, measures, ends, changes, self._limits[0], tall, self._frame.top,
            self._frame.left, **sizes,
        )  # fmt: skip
        totals = measures[..., _INSIDE : _AREA + 1].sum(1)
        left, right = find_ends(measures[..., _AREA] > 0)
        top, bottom = measures[..., _FIRST].amin(1), measures[..., _LAST].amax(1)
        box = torch.stack([left, top, right, bottom], dim=1) * (totals[:, 2:] > 0)
        lengths = measures[..., _CHANGES].sum(1)
        return TracedPart(torch.cat([totals, box], dim=1), lengths, changes)

    def _find_touched(self, logits: Tensor, axes: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Which columns may hold a pixel above the lowest limit, uint8 (n, width), and which rows.

        The rows as int32 (n, 2), those to look at: from the first to behind the last.
        """
        least = self._limits[2] - _SLACK
        row_first, _, column_first, _ = axes
        of_rows = _spread(logits.amax(2) > least, row_first)
        of_columns = _spread(logits.amax(1) > least, column_first)
        first, last = find_ends(of_rows)
        height = of_rows.shape[1]
        # A column that ends inside is followed by the next one's first pixel.
        joined = height == self._frame.image_hw[0]
        first = torch.where((last == height - 1) & joined, 0, first.clamp(max=height))
        spans = torch.stack([first, last + 2], dim=1).to(torch.int32)
        return of_columns.to(torch.uint8), spans


def try_kernels(device: torch.device) -> None:
    """Trace a mask of a few pixels. Raises whatever compiling or running the kernels does."""
    axis = make_axis(4, 4, 4, 4)
    tracer = FusedTracer(axis, axis, Frame((4, 4), 0, 0, (4, 4)), 0.0, 1.0)
    tracer.add(torch.ones(1, 4, 4, device=device))
    if tracer.finish().area.tolist() != [16]:
        raise RuntimeError("the kernels of Triton compute wrongly here")


def _spread(seen: Tensor, first: Tensor) -> Tensor:
    """Which outputs take any of the inputs in bool (n, inputs): bool (n, outputs)."""
    taken = first.long()[:, None] + torch.arange(3, device=first.device)
    taken = taken.clamp(max=seen.shape[1] - 1)
    return seen[:, taken].any(2)


@triton.jit
def _read_values(
    mask, row_first, row_weights, column_first, column_weights, rows, low_side, x, y, valid
):
    """The logits of pixels, 0 where they are not valid."""
    top = tl.load(row_first + y, mask=valid, other=0)
    left = tl.load(column_first + x, mask=valid, other=0)
    values = tl.zeros_like(y).to(tl.float32)
    for i in tl.static_range(3):
        across = tl.zeros_like(values)
        # Rows that are missing have no weight.
        seen = valid & (top + i < rows)
        for j in tl.static_range(3):
            weights = tl.load(column_weights + 3 * x + j, mask=valid, other=0.0)
            place = mask + (top + i) * low_side + left + j
            across += weights * tl.load(place, mask=seen, other=0.0).to(tl.float32)
        values += tl.load(row_weights + 3 * y + i, mask=valid, other=0.0) * across
    return values


@triton.jit
def _read_block(
    mask,
    row_first,
    row_weights,
    column_first,
    column_weights,
    rows,
    low_side,
    height,
    column,
    start,
    end,
    BLOCK: tl.constexpr,
):
    """Some pixels of a column from `start` on: their rows, which of them exist, their logits."""
    y = start + tl.arange(0, BLOCK)
    valid = (y < height) & (y < end)
    x = tl.zeros_like(y) + column
    values = _read_values(
        mask, row_first, row_weights, column_first, column_weights, rows, low_side, x, y, valid
    )
    return y, valid, values


@triton.jit
def _find_span(touched, spans, number, column, width):
    """The first row to look at and the one behind the last."""
    begin = tl.load(spans + 2 * number)
    end = tl.load(spans + 2 * number + 1)
    # Of a column without pixels only its first may differ from what comes before it.
    is_touched = tl.load(touched + number * width + column) > 0
    return begin, tl.where(is_touched, end, tl.where(begin == 0, 1, begin))


@triton.jit
def _find_changes(
    mask,
    row_first,
    row_weights,
    column_first,
    column_weights,
    rows,
    low_side,
    height,
    width,
    column,
    y,
    inside,
    end,
    threshold,
    JOINED: tl.constexpr,
):
    """Which pixels, `inside` or not, differ from those before them in column-major order.

    The place behind a column's end is outside; where columns are joined, only the last one has it.
    """
    x_before = tl.where(y == 0, column - 1, column)
    y_before = tl.where(y == 0, height - 1, y - 1)
    has_before = y > 0
    if JOINED:
        has_before = has_before | (x_before >= 0)
    before = _read_values(
        mask, row_first, row_weights, column_first, column_weights, rows, low_side, x_before,
        y_before, has_before & (y <= height),
    )  # fmt: skip
    was_inside = has_before & (y <= height) & (before > threshold)
    exists = y <= height
    if JOINED:
        exists = (y < height) | ((y == height) & (x_before == width - 1))
    return exists & (y < end) & (inside != was_inside)


@triton.jit
def _measure_column(
    logits,
    row_first,
    row_weights,
    column_first,
    column_weights,
    touched,
    spans,
    rows,
    low_side,
    height,
    width,
    measures,
    threshold,
    high,
    low,
    JOINED: tl.constexpr,
    BLOCK: tl.constexpr,
    MEASURES: tl.constexpr,
):
    """Of one column of one mask: changes, pixels above each limit, first and last row."""
    number = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1)
    mask = logits + number * rows * low_side
    begin, end = _find_span(touched, spans, number, column, width)
    changes = 0
    above_high = 0
    above_low = 0
    area = 0
    first = height
    last = -1
    for start in range(begin, end, BLOCK):
        y, valid, values = _read_block(
            mask, row_first, row_weights, column_first, column_weights, rows, low_side, height,
            column, start, end, BLOCK,
        )  # fmt: skip
        inside = valid & (values > threshold)
        changed = _find_changes(
            mask, row_first, row_weights, column_first, column_weights, rows, low_side, height,
            width, column, y, inside, end, threshold, JOINED,
        )  # fmt: skip
        changes += tl.sum(changed.to(tl.int32))
        above_high += tl.sum((valid & (values > high)).to(tl.int32))
        above_low += tl.sum((valid & (values > low)).to(tl.int32))
        area += tl.sum(inside.to(tl.int32))
        first = tl.minimum(first, tl.min(tl.where(inside, y, height)))
        last = tl.maximum(last, tl.max(tl.where(inside, y, -1)))
    out = measures + (number * width + column) * MEASURES
    tl.store(out, changes)
    tl.store(out + 1, above_high)
    tl.store(out + 2, above_low)
    tl.store(out + 3, area)
    tl.store(out + 4, first)
    tl.store(out + 5, last)


@triton.jit
def _write_changes(
    logits,
    row_first,
    row_weights,
    column_first,
    column_weights,
    touched,
    spans,
    rows,
    low_side,
    height,
    width,
    measures,
    ends,
    places,
    threshold,
    tall,
    frame_top,
    frame_left,
    JOINED: tl.constexpr,
    BLOCK: tl.constexpr,
    MEASURES: tl.constexpr,
):
    """Write where one column of one mask changes, as column-major places in the image."""
    number = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1)
    mask = logits + number * rows * low_side
    begin, end = _find_span(touched, spans, number, column, width)
    count = tl.load(measures + (number * width + column) * MEASURES)
    end = tl.where(count > 0, end, begin)
    at = tl.load(ends + number * width + column) - count
    for start in range(begin, end, BLOCK):
        y, valid, values = _read_block(
            mask, row_first, row_weights, column_first, column_weights, rows, low_side, height,
            column, start, end, BLOCK,
        )  # fmt: skip
        changed = _find_changes(
            mask, row_first, row_weights, column_first, column_weights, rows, low_side, height,
            width, column, y, valid & (values > threshold), end, threshold, JOINED,
        )  # fmt: skip
        rank = tl.cumsum(changed.to(tl.int32), 0) - 1
        place = (column + frame_left).to(tl.int64) * tall + frame_top + y
        tl.store(places + at + rank, place, mask=changed)
        at += tl.sum(changed.to(tl.int32))
