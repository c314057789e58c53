"""Traces masks on an accelerator: whole masks, a few at a time; only their runs come back.

What `trace_cpu` computes pixel by pixel along a contour is two products here, of a mask's logits
with the weights of its rows and of its columns. No mask's runs are fetched before all of a crop
are traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from workers.rle_numba import encode_changes
from workers.segmenters.masks.tracer import Axis, Frame, TracedMasks

_AT_ONCE_PX = 1 << 25  # of whole masks: 128 MiB as float32, unless one alone is larger


@dataclass(frozen=True, slots=True, eq=False)
class TracedPart:
    """Some traced masks, on their device.

    totals int64 (n, 7): inside, outside, area, box. lengths int64 (n,): changes of each mask.
    changes int64: where the masks change, one after the other, as column-major places in the image.
    """

    totals: Tensor
    lengths: Tensor
    changes: Tensor


class DeviceTracer:
    """See `Tracer`: the same where `logits` lie on another device than the CPU."""

    def __init__(
        self, rows: Axis, columns: Axis, frame: Frame, threshold: float, offset: float
    ) -> None:
        self._rows, self._columns, self._frame = rows, columns, frame
        self._limits = round_limits(threshold, offset)
        self._matrices: tuple[Tensor, Tensor] | None = None
        self._parts: list[TracedPart] = []

    @torch.inference_mode()
    def add(self, logits: Tensor) -> None:
        if self._matrices is None:
            down, across = (
                _matrix(axis, logits.shape[2], logits.device)
                for axis in (self._rows, self._columns)
            )
            self._matrices = down[:, : logits.shape[1]].mT, across
        down, across = self._matrices
        height, width = self._frame.crop_hw
        split = torch.split(logits.float(), max(_AT_ONCE_PX // (height * width), 1))
        # Column-major, as COCO's runs are. All or none: memory may end on the way.
        self._parts += [self._trace(across @ part.mT @ down) for part in split]

    def finish(self) -> TracedMasks:
        return collect_parts(self._parts, self._frame)

    def _trace(self, values: Tensor) -> TracedPart:
        """Of float32 (n, width, height): the logits of every pixel."""
        threshold, high, low = self._limits
        mask = values > threshold
        area = mask.sum((1, 2))
        of_columns, of_rows = mask.any(2), mask.any(1)
        box = [*find_ends(of_columns), *find_ends(of_rows)]
        totals = [(values > high).sum((1, 2)), (values > low).sum((1, 2)), area]
        totals += [box[place] * (area > 0) for place in (0, 2, 1, 3)]
        changes, lengths = self._changes(mask)
        return TracedPart(torch.stack(totals, dim=1), lengths, changes)

    def _changes(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Where bool (n, width, height) change in the image, column-major, and how often each."""
        frame = self._frame
        height, tall = mask.shape[2], frame.image_hw[0]
        if height < tall:
            # What lies between a column's end and the next one's begin is outside.
            mask = pad(mask, (0, 1))
        states = pad(mask.flatten(1), (1, 1))
        changed = states[:, 1:] != states[:, :-1]
        place = changed.nonzero()[:, 1]
        column, row = place // mask.shape[2], place % mask.shape[2]
        return (column + frame.left) * tall + row + frame.top, changed.sum(1)


def collect_parts(parts: Sequence[TracedPart], frame: Frame) -> TracedMasks:
    """All masks of the parts, in order, fetched at once."""
    if not parts:
        return TracedMasks.concatenate([])
    count = sum(len(part.lengths) for part in parts)
    fetched = torch.cat(
        [part.lengths for part in parts]
        + [part.totals.flatten() for part in parts]
        + [part.changes for part in parts]
    )
    lengths, totals, changes = np.split(fetched.cpu().numpy(), [count, 8 * count])
    totals, ends = totals.reshape(count, 7), np.concatenate([[0], np.cumsum(lengths)])
    height, width = frame.image_hw
    counts = encode_changes(changes, ends, height * width)
    return TracedMasks(totals[:, 0], totals[:, 1], totals[:, 2], totals[:, 3:], counts)


def round_limits(threshold: float, offset: float) -> tuple[float, float, float]:
    """The threshold, and it plus and minus the offset, as float32, in which the CPU compares."""
    high, low = (float(np.float32(threshold + sign * offset)) for sign in (1, -1))
    return threshold, high, low


def _matrix(axis: Axis, inputs: int, device: torch.device) -> Tensor:
    """The weights of every output: float32 (outputs, inputs)."""
    weights = np.zeros((len(axis.first), inputs), np.float32)
    taps = axis.first[:, None] + np.arange(axis.weights.shape[1])
    np.put_along_axis(weights, taps, axis.weights, axis=1)
    return torch.from_numpy(weights).to(device)


def find_ends(seen: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place that is set in each row of bool (n, size): size and -1 if none is."""
    size = seen.shape[1]
    places = torch.arange(size, device=seen.device)
    return torch.where(seen, places, size).amin(1), torch.where(seen, places, -1).amax(1)
