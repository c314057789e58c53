"""`boxes`: no model, the boxes that are known of an image are the masks of its objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from schemas.boxes import BoxXyxy
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models.model_entry import ModelEntry
from workers.segmenters.grid import mask_of_box
from workers.segmenters.labelled_segmenter import find_at
from workers.segmenters.masks.selection import drop_equal, order_by_size


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> BoxFiller:
    """What fills boxes."""
    return BoxFiller(options)


class BoxFiller:
    """Every box is an object, whatever the limits; an image without boxes has none."""

    def __init__(self, options: SegmenterOptions) -> None:
        self.name = options.name
        self.notes: tuple[str, ...] = ()
        self.fingerprint = fingerprint({"segmenter": "boxes 1"})

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Nothing of any image, as nothing is known of them."""
        return [[] for _ in images]

    def segment_with_boxes(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        """The boxes of each image, to whole pixels, largest first; of equal ones one."""
        return [
            _fill((image.shape[0], image.shape[1]), known)
            for image, known in zip(images, boxes, strict=True)
        ]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """None. Raises UsageError for a point that is not in the image."""
        return find_at([], image.shape[:2], point_xy)


def _fill(size_hw: tuple[int, int], boxes: Sequence[BoxXyxy]) -> list[ObjectMask]:
    masks = (mask_of_box(_round_out(box), size_hw) for box in boxes)
    return sorted(drop_equal([mask for mask in masks if mask is not None]), key=order_by_size)


def _round_out(box: BoxXyxy) -> tuple[int, int, int, int]:
    """The pixels that a box covers by more than a half on each side, and at least one."""
    x0, y0, x1, y1 = box
    left, right = _round_side(x0, x1)
    top, bottom = _round_side(y0, y1)
    return left, top, right, bottom


def _round_side(low: float, high: float) -> tuple[int, int]:
    first, end = math.ceil(low - 0.5), math.floor(high + 0.5)
    if first < end:
        return first, end
    within = min(math.floor((low + high) / 2), math.ceil(high) - 1)
    return within, within + 1
