"""Boxes around objects of an image, which a segmenter is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from schemas.errors import DatasetError
from schemas.ids import fingerprint

BoxXyxy = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""

_VERSION = 1  # to be raised whenever the same boxes give other masks


@dataclass(frozen=True)
class ImageBoxes:
    """Boxes of an image; `size_hw` is what their file says of its size, None: it does not."""

    boxes_xyxy: tuple[BoxXyxy, ...]
    size_hw: tuple[int, int] | None = None

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the boxes; their order does not matter."""
        boxes = sorted([float(side) for side in box] for box in self.boxes_xyxy)
        return fingerprint({"boxes": _VERSION, "xyxy": boxes})

    def clip_to(self, size_hw: tuple[int, int]) -> list[BoxXyxy]:
        """The boxes in order, cut to an image. Raises DatasetError where one does not fit it."""
        if self.size_hw not in (None, size_hw):
            raise DatasetError(
                f"expected an image of {_show(size_hw)} pixels in the file of boxes, "
                f"got one of {_show(self.size_hw)}"
            )
        return [clip_box(box, size_hw) for box in sorted(set(self.boxes_xyxy))]


def clip_box(box: BoxXyxy, size_hw: tuple[int, int]) -> BoxXyxy:
    """The part of a box that lies in an image. Raises DatasetError if there is none."""
    check_box(box)
    height, width = size_hw
    x0, y0, x1, y1 = box
    clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise DatasetError(f"expected a box within {_show(size_hw)} pixels, got {_show_box(box)}")
    return clipped


def check_box(box: BoxXyxy) -> None:
    """Raise DatasetError for a box that is in no image: of numbers that are none, or empty."""
    if not all(map(math.isfinite, box)):
        raise DatasetError(f"expected a box of finite numbers, got {_show_box(box)}")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DatasetError(f"expected a box with a width and a height, got {_show_box(box)}")


def _show(size_hw: tuple[int, int] | None) -> str:
    return "unknown" if size_hw is None else f"{size_hw[1]} x {size_hw[0]}"


def _show_box(box: BoxXyxy) -> str:
    return f"x {box[0]:g} to {box[2]:g}, y {box[1]:g} to {box[3]:g}"
