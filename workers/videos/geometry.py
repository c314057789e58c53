"""Finds how stored frames have to be turned and stretched to be upright with square pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

from schemas.errors import BadImageError
from schemas.images import UInt8Image
from schemas.options import DecodeOptions

# A pixel's sides further apart than this are a mistake in the file.
_MOST_STRETCH = 16
_MATRIX = "DISPLAYMATRIX"


@dataclass(frozen=True, slots=True)
class Turn:
    """How a frame is turned: `transposed` first, then mirrored along its sides."""

    transposed: bool = False
    flipped_rows: bool = False
    flipped_columns: bool = False

    def apply(self, pixels: UInt8Image) -> UInt8Image:
        """The upright image of a stored one, C-contiguous."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.flipped_rows:
            pixels = pixels[::-1]
        if self.flipped_columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True, slots=True)
class FrameShape:
    """`scaled_wh`: a stored frame's size with square pixels, before it is turned."""

    scaled_wh: tuple[int, int]
    turn: Turn

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of the upright frame."""
        width, height = self.scaled_wh
        return (width, height) if self.turn.transposed else (height, width)

    def fit(self, max_side_px: int) -> FrameShape:
        """The same, scaled down until no side is longer than `max_side_px`."""
        share = max_side_px / max(self.scaled_wh)
        if share >= 1:
            return self
        width, height = (max(round(side * share), 1) for side in self.scaled_wh)
        return FrameShape((width, height), self.turn)


def find_shape(frame: VideoFrame, aspect: Fraction | None) -> FrameShape:
    """The shape of frames like this one; `aspect` is a pixel's width over its height.

    Pixels are made square by their width, as players do; None, 0 and what cannot be meant is 1.
    """
    width = frame.width
    if aspect and 1 / _MOST_STRETCH <= aspect <= _MOST_STRETCH:
        width = max(round(width * aspect), 1)
    return FrameShape((width, frame.height), _find_turn(frame))


def _find_turn(frame: VideoFrame) -> Turn:
    """By the display matrix (ISO/IEC 14496-12, 8.3.2): x' = a x + c y, y' = b x + d y.

    Turns by other than quarters are rounded to them.
    """
    # `frame.side_data` would make a circle with the frame, whose pixels, 12 MB of 4K, then stay
    # until Python happens to look for circles. PyAV's stubs don't know of what makes one.
    list_kinds = cast(Callable[[VideoFrame], SideDataContainer], SideDataContainer)
    kinds = list_kinds(frame)
    if _MATRIX not in kinds:
        return Turn()
    matrix = np.frombuffer(bytes(kinds[_MATRIX]), np.int32)
    if len(matrix) < 9:
        return Turn()
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if a * d == b * c:  # it would leave nothing to be seen
        return Turn()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, flipped_rows=b < 0, flipped_columns=c < 0)
    return Turn(False, flipped_rows=d < 0, flipped_columns=a < 0)


def check_size(size_wh: tuple[int, int], options: DecodeOptions) -> None:
    """Raise BadImageError for frames beyond the limits; the uri is the caller's to add."""
    width, height = size_wh
    if width * height > options.max_pixels:
        raise BadImageError(
            f"expected frames of at most {options.max_pixels} pixels, got {width} x {height}"
        )
    if max(size_wh) > options.max_side_px:
        raise BadImageError(
            f"expected frames with sides of at most {options.max_side_px} pixels, got "
            f"{width} x {height}"
        )
    if min(size_wh) < options.min_side_px:
        raise BadImageError(
            f"expected frames with sides of at least {options.min_side_px} pixels, got "
            f"{width} x {height}"
        )
