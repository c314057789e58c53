"""Moves the borders of masks to where colours change (`edges`)."""

from __future__ import annotations

import numpy as np

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from workers.refiners.band_field import FIELD, Field, Int64s, decide_border

STRIP_PX = 1024
"""So many columns of a mask are decided at a time, so that memory does not grow with its width."""


class EdgeRefiner:
    """Decides the pixels within six of a mask's border anew, by a random field (`Field`)."""

    name = "edges"
    fingerprint = "edges 1"

    def refine(self, image: UInt8Image, rle: CocoRle) -> CocoRle:
        """See `Refiner`."""
        return refine_edges(image, rle)


def build() -> EdgeRefiner:
    """It has no options and no weights."""
    return EdgeRefiner()


def refine_edges(
    image: UInt8Image, rle: CocoRle, field: Field = FIELD, strip_px: int = STRIP_PX
) -> CocoRle:
    """A mask of uint8 (height, width, 3) RGB with its border decided anew.

    Whatever `strip_px`, the same: each strip is decided with all around it that has a say.
    """
    height, width = rle.size_hw
    left, top, right, bottom = rle.bbox_xyxy
    left, right = max(left - field.band, 0), min(right + field.band, width)
    rows = slice(max(top - field.halo, 0), min(bottom + field.halo, height))
    changes: list[Int64s] = []
    last = False
    for begin in range(left, right, strip_px):
        end = min(begin + strip_px, right)
        first, stop = max(begin - field.halo, 0), min(end + field.halo, width)
        mask = np.ascontiguousarray(rle.decode_columns(first, stop)[rows])
        decided = decide_border(image[rows, first:stop], mask, field)
        strip = np.zeros((height, end - begin), np.bool_)
        strip[rows] = decided[:, begin - first : end - first]
        changes.append(_find_changes(strip, last) + begin * height)
        last = bool(strip[-1, -1])
    if right < width and last:
        changes.append(np.array([right * height]))
    ends = np.concatenate([[0], *changes, [height * width]]).astype(np.int64)
    return CocoRle.from_runs(rle.size_hw, np.diff(ends))


def _find_changes(mask: BoolMask, before: bool) -> Int64s:
    """Where a mask changes, column-major, after a pixel `before` its first."""
    pixels = np.concatenate([np.array([before]), mask.ravel(order="F")])
    return np.flatnonzero(pixels[1:] != pixels[:-1])
