"""Masks of objects, as COCO run-length encodings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from schemas.boxes import ImageBoxes

BoolMask = npt.NDArray[np.bool_]
"""bool (height, width)."""
RunLengths = npt.NDArray[np.int64]
"""int64 (runs,): lengths of a mask's runs in pixels, column-major, zeros first."""
# pycocotools reads numbers of 32 bits, and writes those of at most six characters.
_MOST_PIXELS = 2**31 - 1
_MOST_CHARACTERS = 7  # with the sign
_LONGEST_ENCODED_RUN = 2**29 - 1


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
        pixels = mask.ravel(order="F")
        changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        runs = np.diff(np.concatenate([[0], changes, [pixels.size]]))
        if pixels.size and pixels[0]:
            runs = np.concatenate([[0], runs])
        return cls.from_runs((mask.shape[0], mask.shape[1]), runs)

    @classmethod
    def from_runs(cls, size_hw: tuple[int, int], runs: Sequence[int] | RunLengths) -> CocoRle:
        """Encode lengths of runs, zeros first, column-major.

        Raises ValueError unless they cover the mask exactly.
        """
        try:
            lengths = np.asarray(runs)
        except (ValueError, OverflowError):  # lists of unequal lengths, integers beyond any float
            lengths = np.zeros(0)
        if lengths.dtype.kind != "i" or lengths.ndim != 1:
            raise ValueError(f"expected the lengths of an RLE's runs, got {str(runs)[:80]}")
        _check_runs(lengths, size_hw)
        if lengths.max() > _LONGEST_ENCODED_RUN:
            raise ValueError(f"an RLE cannot hold a run of {lengths.max()} pixels")
        encoded = coco.frPyObjects({"size": size_hw, "counts": lengths}, *size_hw)
        return cls(size_hw, encoded["counts"].decode("ascii"))

    def runs(self) -> RunLengths:
        """Lengths of the runs, zeros first, column-major. Raises ValueError if they do not fit."""
        runs = _parse_counts(self.counts)
        _check_runs(runs, self.size_hw)
        return runs

    def decode(self) -> BoolMask:
        """bool (height, width). Raises ValueError for an invalid string."""
        return self.decode_columns(0, self.size_hw[1])

    def decode_columns(self, first: int, end: int) -> BoolMask:
        """Columns `first` up to `end`, which must lie in the mask: bool (height, end - first).

        Raises ValueError for an invalid string.
        """
        height = self.size_hw[0]
        ends = np.concatenate([[0], self.runs().cumsum()]).clip(first * height, end * height)
        values = np.arange(len(ends) - 1) % 2 == 1
        return np.repeat(values, np.diff(ends)).reshape((height, end - first), order="F")

    @property
    def area_px(self) -> int:
        """Pixels inside. Raises ValueError for an invalid string."""
        return int(self.runs()[1::2].sum())

    @property
    def bbox_xyxy(self) -> tuple[int, int, int, int]:
        """Around the pixels inside, half-open; zeros if there are none.

        Raises ValueError for an invalid string.
        """
        if not self.area_px:
            return (0, 0, 0, 0)
        box = coco.toBbox({"size": self.size_hw, "counts": self.counts})
        x, y, width, height = (int(side) for side in box)
        return (x, y, x + width, y + height)


@lru_cache(maxsize=4096)
def measure_area(rle: CocoRle) -> int:
    """`area_px`, kept for masks that are compared again and again. Raises ValueError as it does."""
    return rle.area_px


def _parse_counts(text: str) -> RunLengths:
    """The counts in COCO's compressed string, as `rleFrString` of pycocotools reads them.

    Each character holds six bits, counted from "0": five of a number, lowest first, and one that
    says that more follow. Numbers are signed; from the fourth on, each is the difference from the
    count two before. pycocotools itself checks nothing: it reads past the end of a string that is
    cut off, and compares masks of unequal pixel counts for ever.
    """
    bits = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    foreign = np.flatnonzero((bits < 0) | (bits > 63))
    if len(foreign):
        raise ValueError(f"{text[foreign[0]]!r} cannot stand in an RLE string")
    last = np.flatnonzero(bits < 32)
    if len(bits) and bits[-1] >= 32:
        raise ValueError("the RLE string ends within a number")
    if not len(last):
        return last
    first = np.concatenate([[0], last[:-1] + 1])
    lengths, negative = last - first + 1, bits[last] >> 4
    if (lengths + negative).max() > _MOST_CHARACTERS:
        raise ValueError(f"the RLE string has a number of {lengths.max()} characters")
    shifts = 5 * (np.arange(len(bits)) - np.repeat(first, lengths))
    counts: RunLengths = np.add.reduceat((bits & 31) << shifts, first)
    counts -= negative << 5 * lengths
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts


def check_size(size_hw: tuple[int, int]) -> None:
    """Raise ValueError for a size that no RLE can have."""
    height, width = size_hw
    if min(size_hw) < 0 or height * width > _MOST_PIXELS:
        raise ValueError(f"an RLE cannot be of {height} x {width} pixels")


def _check_runs(runs: RunLengths, size_hw: tuple[int, int]) -> None:
    check_size(size_hw)
    height, width = size_hw
    # No run alone is longer than all, so that the sum cannot overflow.
    fits = len(runs) and runs.min() >= 0 and runs.max() <= height * width
    if not fits or runs.sum() != height * width:
        raise ValueError(f"the RLE does not cover {height} x {width} pixels")


@dataclass(frozen=True, slots=True)
class ObjectMask:
    """One segmented object.

    `bbox_xyxy` in pixels, half-open. `predicted_iou` and `stability_score` are segment-anything's,
    None where the segmenter has no such; `point_xy` is the prompt that found it, in pixels.
    `segmenter_label` is what a segmenter that knows classes calls it, as sure as `segmenter_score`,
    of 0 to 1.
    """

    rle: CocoRle
    bbox_xyxy: tuple[int, int, int, int]
    area_px: int
    predicted_iou: float | None
    stability_score: float | None
    point_xy: tuple[float, float]
    segmenter_label: str | None = None
    segmenter_score: float | None = None

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.bbox_xyxy
        height, width = self.rle.size_hw
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"box {self.bbox_xyxy} does not lie in {width} x {height} pixels")
        if not 0 < self.area_px <= (x1 - x0) * (y1 - y0):
            raise ValueError(f"area {self.area_px} does not fit box {self.bbox_xyxy}")

    @classmethod
    def measure(
        cls,
        rle: CocoRle,
        *,
        predicted_iou: float | None = None,
        stability_score: float | None = None,
        point_xy: tuple[float, float] | None = None,
        segmenter_label: str | None = None,
        segmenter_score: float | None = None,
    ) -> ObjectMask | None:
        """The mask with its box and area, None if it is empty; without a point its box's middle.

        Raises ValueError for an invalid RLE.
        """
        area_px = rle.area_px
        if not area_px:
            return None
        x0, y0, x1, y1 = box = rle.bbox_xyxy
        return cls(
            rle,
            box,
            area_px,
            predicted_iou,
            stability_score,
            point_xy or ((x0 + x1) / 2, (y0 + y1) / 2),
            segmenter_label,
            segmenter_score,
        )

    @property
    def sureness(self) -> float:
        """How sure its segmenter is, by which masks are ranked: the predicted IoU, or the score."""
        sure = self.segmenter_score if self.predicted_iou is None else self.predicted_iou
        return 0.0 if sure is None else sure

    @property
    def area_frac(self) -> float:
        height, width = self.rle.size_hw
        return self.area_px / (height * width)


KnownObjects = tuple[ObjectMask, ...] | ImageBoxes | None
"""What is known of an image's objects: their masks in a deterministic order, boxes, or nothing."""
