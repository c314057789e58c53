"""Fills holes of masks, drops islands and smooths contours (`tidy`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from schemas.options import RefinerOptions, TidyOptions
from workers.numba_jit import jit_exact
from workers.refiners.small_regions import remove_by_share
from workers.refiners.strips import STRIP_PX, Rectangle, decide_anew
from workers.segmenter_protocols import FindSam

Int32s = npt.NDArray[np.int32]


class TidyRefiner:
    """Looks at the masks alone. See `TidyOptions`."""

    name = "tidy"

    def __init__(self, options: TidyOptions) -> None:
        self.options = options
        self.fingerprint = "tidy 1 " + fingerprint(options.model_dump(mode="json"))

    def open_image(self, image: UInt8Image) -> TidyRefiner:
        """See `Refiner`."""
        return self

    def refine(self, masks: Sequence[CocoRle]) -> list[CocoRle]:
        """See `ImageRefiner`."""
        return [tidy_mask(rle, self.options) for rle in masks]


def build(options: RefinerOptions, find_sam: FindSam) -> TidyRefiner:
    """It has no weights."""
    return TidyRefiner(options.tidy)


def tidy_mask(rle: CocoRle, options: TidyOptions, strip_px: int = STRIP_PX) -> CocoRle:
    """A mask, which is not empty, without what is taken for dirt; the same where there is none."""
    tidied = rle
    if options.smooth_px:
        tidied = _smooth(tidied, options.smooth_px, strip_px)
    if not tidied.area_px:  # it was narrower than that everywhere
        tidied = rle
    return remove_by_share(
        tidied, options.max_hole_frac, options.max_island_frac, options.largest_only
    )


def _smooth(rle: CocoRle, radius: int, strip_px: int) -> CocoRle:
    """A pixel is what most of those are that lie within a radius of it, in the image."""

    def decide(place: Rectangle, mask: BoolMask, wanted: Rectangle) -> BoolMask:
        return _take_majority(mask, radius)[wanted]

    return decide_anew(rle, radius, radius, decide, strip_px)


@jit_exact
def _take_majority(mask: BoolMask, radius: int) -> BoolMask:
    """What most pixels of each disk are: bool (height, width). Of as many either way none changes.

    Beyond the mask there are no pixels.
    """
    height, width = mask.shape
    sums = np.zeros((height + 1, width + 1), np.int32)  # of pixels inside, above and to the left
    for y in range(height):
        for x in range(width):
            before = sums[y, x + 1] + sums[y + 1, x] - sums[y, x]
            sums[y + 1, x + 1] = before + mask[y, x]
    halves = np.array([int(np.sqrt(radius**2 - v**2)) for v in range(radius + 1)])
    smooth = mask.copy()
    for y in range(height):
        top, bottom = max(y - radius, 0), min(y + radius + 1, height)
        for x in range(width):
            left, right = max(x - radius, 0), min(x + radius + 1, width)
            inside = _count(sums, top, bottom, left, right)
            if inside in (0, (bottom - top) * (right - left)):
                continue
            inside = pixels = 0
            for v in range(top, bottom):
                half = halves[abs(v - y)]
                left, right = max(x - half, 0), min(x + half + 1, width)
                inside += _count(sums, v, v + 1, left, right)
                pixels += right - left
            if 2 * inside != pixels:
                smooth[y, x] = 2 * inside > pixels
    return smooth


@jit_exact
def _count(sums: Int32s, top: int, bottom: int, left: int, right: int) -> int:
    """The pixels inside in a rectangle."""
    return int(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])
