"""Enlarges logits to the pixels of an image, bilinearly, in strips that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from workers.segmenters.placement import Placement, Sampling

# A megabyte or two as float32: what is read again must be in a cache still.
_STRIP_NUMBERS = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Rows `top` up to `bottom` of an image, columns `left` up to `right`.

    `logits` is float32 (bottom - top, right - left, n), those of each pixel side by side.
    """

    top: int
    bottom: int
    left: int
    right: int
    logits: Tensor


class PlacedLogits:
    """float32 (n, h, w): what a model says of a frame, and where that lies in its image."""

    def __init__(self, logits: Tensor, placement: Placement) -> None:
        self.logits, self.placement = logits.float(), placement
        self._rows, self._columns = placement.sample((logits.shape[1], logits.shape[2]))
        # Of a pixel they lie side by side, so that whole runs of memory are gathered.
        self._of_pixels = self.logits.permute(1, 2, 0).contiguous()

    def find_rows(self, top: int, bottom: int) -> tuple[int, int]:
        """The first and the last row of the logits of which rows of the image, one or more, are."""
        rows = self._rows
        return int(rows.near[top - rows.begin]), int(rows.far[bottom - 1 - rows.begin])

    def enlarge(self, top: int, bottom: int, chosen_maps: Tensor | None = None) -> Strip | None:
        """Rows `top` up to `bottom` of the image, as far as the frame covers any; None: none.

        With `chosen_maps`, int64 (m,), only these of the n.
        """
        rows, columns = self._rows, self._columns
        first, last = max(top, rows.begin), min(bottom, rows.end)
        if first >= last:
            return None
        chosen = slice(first - rows.begin, last - rows.begin)
        down = _interpolate(self._of_pixels, rows, chosen, dim=0)
        if chosen_maps is not None:
            down = down.index_select(2, chosen_maps)
        across = _interpolate(down, columns, slice(None), dim=1)
        return Strip(first, last, columns.begin, columns.end, across)


def split_rows(size_hw: tuple[int, int], numbers: int) -> list[tuple[int, int]]:
    """First and end rows of strips, of an image with so many numbers for each of its pixels."""
    height, width = size_hw
    step = max(_STRIP_NUMBERS // (width * max(numbers, 1)), 1)
    return list(pairwise([*range(0, height, step), height]))


def _interpolate(values: Tensor, sampling: Sampling, chosen: slice, dim: int) -> Tensor:
    near, far, share = (
        torch.from_numpy(np.ascontiguousarray(numbers[chosen])).to(values.device)
        for numbers in (sampling.near, sampling.far, sampling.share)
    )
    shape = [1, 1, 1]
    shape[dim] = -1
    return torch.lerp(
        values.index_select(dim, near), values.index_select(dim, far), share.view(shape)
    )
