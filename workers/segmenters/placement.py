"""Says where an image lies in a model's frame, and which logits make each of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workers.segmenters.masks.tracer import Axis

Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

_TAPS = 3


class Sampling(NamedTuple):
    """How one side of an image follows from logits, bilinearly.

    Pixel `begin + i`, of those up to `end`, is the logit `near[i]`, and by `share[i]` the next one.
    """

    begin: int
    end: int
    near: Int64s
    far: Int64s
    share: Float32s


def sample_side(size: int, used: int, offset: int, frame: int, logits: int) -> Sampling:
    """For a side of `size` pixels, resized to `used`, of which `frame` lie from `offset` on.

    These became `logits` numbers. Pixels stand for their centres, and beyond the outermost logits
    there is nothing new, as in PyTorch's bilinear interpolation.
    """
    scale = used / size
    centres = (np.arange(size) + 0.5) * scale
    inside = np.flatnonzero((centres >= offset) & (centres < offset + frame))
    begin, end = int(inside[0]), int(inside[-1]) + 1
    places = (centres[begin:end] - offset) * (logits / frame) - 0.5
    places = places.clip(0, logits - 1)
    near = places.astype(np.int64)
    far = np.minimum(near + 1, logits - 1)
    return Sampling(begin, end, near, far, (places - near).astype(np.float32))


def make_axis(sampling: Sampling, side: int) -> Axis:
    """The same for a tracer, whose logits have `side` rows or columns, at least 3."""
    near, far = sampling.near, sampling.far
    first = np.minimum(near, side - _TAPS)
    weights = np.zeros((len(near), _TAPS), np.float32)
    rows = np.arange(len(near))
    np.add.at(weights, (rows, near - first), 1 - sampling.share)
    np.add.at(weights, (rows, far - first), sampling.share)
    begins = np.searchsorted(first, np.arange(side + 1), side="left")
    return Axis(first.astype(np.int32), weights, begins.astype(np.int32))


@dataclass(frozen=True, slots=True)
class Placement:
    """An image of `size_hw`, resized to `used_hw`, of which a model saw `frame_hw` from `offset_yx`
    on: all of it, with padding at the right and the bottom, or one of several parts.
    """

    size_hw: tuple[int, int]
    used_hw: tuple[int, int]
    frame_hw: tuple[int, int]
    offset_yx: tuple[int, int] = (0, 0)

    def sample(self, logits_hw: tuple[int, int]) -> tuple[Sampling, Sampling]:
        """How the rows and columns of the image follow from logits of the frame."""
        rows, columns = (
            sample_side(*side)
            for side in zip(
                self.size_hw, self.used_hw, self.offset_yx, self.frame_hw, logits_hw, strict=True
            )
        )
        return rows, columns

    def used_logits(self, logits_hw: tuple[int, int]) -> tuple[int, int]:
        """How many rows and columns of the logits the image covers, at least in part."""
        height, width = (
            min(-(-min(used - offset, frame) * logits // frame), logits)
            for used, offset, frame, logits in zip(
                self.used_hw, self.offset_yx, self.frame_hw, logits_hw, strict=True
            )
        )
        return height, width
