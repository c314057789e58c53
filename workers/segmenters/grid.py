"""`grid`: no model, an image's tiles are its objects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from schemas.options import SegmenterOptions
from workers.models.model_entry import ModelEntry
from workers.segmenters.heads.regions import encode_window
from workers.segmenters.labelled_segmenter import find_at
from workers.segmenters.masks.selection import describe_limits, select_masks


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> TileSegmenter:
    """Tiles as `options` say."""
    return TileSegmenter(options)


class TileSegmenter:
    """`tiles_per_side` rows of as many tiles, of equal sides to a pixel, which cover the image."""

    def __init__(self, options: SegmenterOptions) -> None:
        self.name, self._options = options.name, options
        self.notes: tuple[str, ...] = ()
        self.fingerprint = fingerprint(
            {
                "segmenter": "grid 1",
                "tiles_per_side": options.tiles_per_side,
                "limits": describe_limits(options),
            }
        )

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """The tiles of each image, largest first."""
        return [self._tile((image.shape[0], image.shape[1])) for image in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """The tile at a point. Raises UsageError for a point that is not in the image."""
        return find_at(self.segment([image])[0], image.shape[:2], point_xy)

    def _tile(self, size_hw: tuple[int, int]) -> list[ObjectMask]:
        rows, columns = (_split(side, self._options.tiles_per_side) for side in size_hw)
        masks = (mask_of_box((x0, y0, x1, y1), size_hw) for y0, y1 in rows for x0, x1 in columns)
        return select_masks([mask for mask in masks if mask is not None], self._options)


def _split(side: int, count: int) -> list[tuple[int, int]]:
    """First and end pixels of parts that are not empty."""
    ends = [number * side // count for number in range(count + 1)]
    return [(begin, end) for begin, end in pairwise(ends) if begin < end]


def mask_of_box(box_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int]) -> ObjectMask | None:
    """All of a box of whole pixels, which lies in an image of `size_hw`."""
    x0, y0, x1, y1 = box_xyxy
    filled: BoolMask = np.ones((y1 - y0, x1 - x0), np.bool_)
    return ObjectMask.measure(encode_window(filled, (x0, y0), size_hw))
