"""Describes how masks are traced, whatever traces them: axes, frames, results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

_TAPS = 3


class Axis(NamedTuple):
    """How one side of an image follows from the logits' side.

    Output i is the sum of `weights[i]`, float32 (size, 3), times the logits from `first[i]` on.
    Outputs `begins[j]` to `begins[j + 1]` start at logit j.
    """

    first: Int32s
    weights: Float32s
    begins: Int32s


def _find_sources(outputs: int, inputs: int) -> tuple[Int64s, Int64s, Float32s]:
    """PyTorch's bilinear interpolation: both neighbours of each output, weight of the second."""
    scale = np.float32(inputs) / np.float32(outputs)
    places = scale * (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    places = np.maximum(places, np.float32(0))
    low = np.minimum(places.astype(np.int64), inputs - 1)
    share = np.clip(places - low.astype(np.float32), 0, 1).astype(np.float32)
    return low, np.minimum(low + 1, inputs - 1), share


def make_axis(size: int, used: int, low_side: int, frame_side: int) -> Axis:
    """From `low_side` logits to `frame_side` pixels, of which `used` are resized to `size`.

    `low_side` is at least 3 and at most `frame_side`.
    """
    near, far, share = _find_sources(size, used)
    low, high, inner = _find_sources(frame_side, low_side)
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
class TracedMasks:
    """Measures and run-length encodings of n masks.

    inside and outside, int64 (n,): pixels above the threshold plus and minus the stability offset.
    area int64 (n,). boxes int64 (n, 4): first and last column and row as xyxy in the crop, zeros
    where a mask is empty. counts[k]: those of the compressed COCO RLE of mask k in the image.
    """

    inside: Int64s
    outside: Int64s
    area: Int64s
    boxes: Int64s
    counts: list[str]

    @staticmethod
    def concatenate(parts: Sequence[TracedMasks]) -> TracedMasks:
        """All masks of the parts, in order."""
        none = np.empty(0, np.int64)
        return TracedMasks(
            np.concatenate([none, *(part.inside for part in parts)]),
            np.concatenate([none, *(part.outside for part in parts)]),
            np.concatenate([none, *(part.area for part in parts)]),
            np.concatenate([none.reshape(0, 4), *(part.boxes for part in parts)]),
            [counts for part in parts for counts in part.counts],
        )


class Tracer(Protocol):
    """Traces the masks of a crop, in any number of batches."""

    def add(self, logits: Tensor) -> None:
        """float32 (n, rows, low_side); the last rows may be missing."""
        ...

    def finish(self) -> TracedMasks:
        """All masks that were added, in order."""
        ...
