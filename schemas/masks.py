"""Masks of objects, as COCO run-length encodings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.images import ImageRef

BoolMask = npt.NDArray[np.bool_]
"""bool (height, width)."""


def _counts_from_string(text: str) -> list[int]:
    # COCO's compressed string: six bits a character from '0' on, five of value, low first; bit 5
    # says that more follow, bit 4 of the last is the sign. From the fourth on, each count is the
    # difference to the one two before.
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{chr(character)!r} cannot stand in an RLE string")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the RLE string ends within a number")
    return counts


def _counts_to_string(counts: list[int]) -> str:
    characters = bytearray()
    for position, count in enumerate(counts):
        value = count - counts[position - 2] if position > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(48 + (bits | 0x20 if more else bits))
    return characters.decode("ascii")


@dataclass(frozen=True, slots=True)
class CocoRle:
    """COCO's compressed run-length encoding; `size_hw` is (height, width)."""

    size_hw: tuple[int, int]
    counts: str

    @classmethod
    def from_mask(cls, mask: BoolMask) -> CocoRle:
        """Encode bool (height, width)."""
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise ValueError(f"expected bool (height, width), got {mask.dtype} {mask.shape}")
        # COCO counts are column-major and start with zeros.
        pixels = mask.ravel(order="F")
        changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        counts = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
        if pixels.size and pixels[0]:
            counts.insert(0, 0)
        return cls((mask.shape[0], mask.shape[1]), _counts_to_string(counts))

    def runs(self) -> list[int]:
        """Lengths of the runs, zeros first, column-major. Raises ValueError if they do not fit."""
        counts = _counts_from_string(self.counts)
        height, width = self.size_hw
        if any(count < 0 for count in counts) or sum(counts) != height * width:
            raise ValueError(f"the RLE does not cover {height} x {width} pixels")
        return counts

    def decode(self) -> BoolMask:
        """bool (height, width). Raises ValueError for an invalid string."""
        return self.decode_columns(0, self.size_hw[1])

    def decode_columns(self, first: int, end: int) -> BoolMask:
        """Columns `first` up to `end`, which must lie in the mask: bool (height, end - first).

        Raises ValueError for an invalid string.
        """
        height = self.size_hw[0]
        ends = np.cumsum([0, *self.runs()]).clip(first * height, end * height)
        values = np.arange(len(ends) - 1) % 2 == 1
        return np.repeat(values, np.diff(ends)).reshape((height, end - first), order="F")

    @property
    def area_px(self) -> int:
        return sum(self.runs()[1::2])


@dataclass(frozen=True, slots=True)
class ObjectMask:
    """One segmented object.

    `bbox_xyxy` in pixels, half-open. `predicted_iou` and `stability_score` are segment-anything's,
    `point_xy` is the prompt that found it, in pixels.
    """

    rle: CocoRle
    bbox_xyxy: tuple[int, int, int, int]
    area_px: int
    predicted_iou: float
    stability_score: float
    point_xy: tuple[float, float]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.bbox_xyxy
        height, width = self.rle.size_hw
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"box {self.bbox_xyxy} does not lie in {width} x {height} pixels")
        if not 0 < self.area_px <= (x1 - x0) * (y1 - y0):
            raise ValueError(f"area {self.area_px} does not fit box {self.bbox_xyxy}")

    @property
    def area_frac(self) -> float:
        height, width = self.rle.size_hw
        return self.area_px / (height * width)


KnownMasks = tuple[ObjectMask, ...] | None
"""An image's objects in a deterministic order; None if they have yet to be found."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A listed image to be worked on. One whose masks are known is not segmented."""

    ref: ImageRef
    masks: KnownMasks = None
