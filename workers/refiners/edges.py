"""Moves the borders of masks to where colours change (`edges`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from schemas.options import RefinerOptions
from workers.refiners.band_field import FIELD, Field, decide_border
from workers.refiners.colour_model import find_bins, fit_colours
from workers.refiners.pyramid import carry_changes, halve_image, halve_mask
from workers.refiners.strips import STRIP_PX, Rectangle, decide_anew
from workers.segmenter_protocols import FindSam

LONGEST_PX = 1024
"""Masks of larger images are as coarse as of these, so their borders are looked for from afar."""
SMOOTH = replace(FIELD, weight=6.0, unasked=0.0, least_said=-1.0)
"""For a border that was found and believed: what is near speaks in full, so that grain goes.

Chosen, as are how often it is looked at and `FINE`, on scenes of other seeds than those scored, of
2,560 pixels; others nearby are as good to 0.002 of IoU.
"""
FINE = replace(SMOOTH, band=4, colour_sigma=25.0)
"""For one that was found at half the size: it is near."""
BY_COLOURS = replace(
    SMOOTH, band=12, border_width=4.0, least_said=0.5, least_beyond=math.inf, model_weight=2.0
)
"""For parts that a mask misses or has too many: by the colours that it has, and those around it.

Chosen on the same scenes, and held against those of one more seed.
"""
FROM_AFAR = (FIELD, SMOOTH, SMOOTH, BY_COLOURS, SMOOTH, BY_COLOURS, SMOOTH)
"""At the smallest size of a large image, one after the other: each has its band about the last."""


class EdgeRefiner:
    """Decides the pixels within six of a mask's border anew, by a random field (`Field`).

    In large images first those of a half of the image, and so on, until it has a longer side of
    at most `LONGEST_PX`: six pixels there are as much of an object as elsewhere. There the fields
    of `FROM_AFAR` look one after the other, `FINE` once at every larger size.
    """

    name = "edges"
    fingerprint = "edges 4"

    def open_image(self, image: UInt8Image) -> _EdgeImage:
        """See `Refiner`."""
        return _EdgeImage(image)


def build(options: RefinerOptions, find_sam: FindSam) -> EdgeRefiner:
    """It has no options and no weights."""
    return EdgeRefiner()


@dataclass(frozen=True, eq=False)
class _EdgeImage:
    """See `ImageRefiner`."""

    image: UInt8Image

    @cached_property
    def _levels(self) -> list[UInt8Image]:
        """The image, its half, and so on."""
        levels = [self.image]
        while max(levels[-1].shape) > LONGEST_PX:
            levels.append(halve_image(levels[-1]))
        return levels

    def refine(self, masks: Sequence[CocoRle]) -> list[CocoRle]:
        if len(self._levels) == 1:
            return [refine_edges(self.image, rle) for rle in masks]
        return [_refine_from_afar(self._levels, rle) for rle in masks]


def _refine_from_afar(levels: Sequence[UInt8Image], rle: CocoRle) -> CocoRle:
    """A mask of the first of the levels, from the last on. What that leaves alone stays."""
    if len(levels) == 1:
        return _refine_by_turns(levels[0], rle, FROM_AFAR)
    half = halve_mask(rle)
    finer = _refine_from_afar(levels[1:], half) if half.area_px else half
    if finer == half:
        return rle
    return _refine_by_turns(levels[0], carry_changes(rle, half, finer), (FINE,))


def _refine_by_turns(image: UInt8Image, rle: CocoRle, fields: Sequence[Field]) -> CocoRle:
    """By one field after the other, until one changes nothing or would leave nothing."""
    for field in fields:
        refined = refine_edges(image, rle, field)
        if refined == rle or not refined.area_px:
            break
        rle = refined
    return rle


def refine_edges(
    image: UInt8Image, rle: CocoRle, field: Field = FIELD, strip_px: int = STRIP_PX
) -> CocoRle:
    """A mask of uint8 (height, width, 3) RGB with its border decided anew, at one size.

    It stays as it is where colours do not say enough of what would change.
    """
    changed = said = beyond = 0
    colours = fit_colours(image, rle) if field.model_weight else None

    def decide(place: Rectangle, mask: BoolMask, wanted: Rectangle) -> BoolMask:
        nonlocal changed, said, beyond
        odds = None if colours is None else colours[find_bins(image[place])]
        decision = decide_border(image[place], mask, field, odds)
        changed += int(np.count_nonzero((decision.mask != mask)[wanted]))
        said += int(decision.said[wanted].sum(dtype=np.int64))
        beyond += int(decision.beyond[wanted].sum(dtype=np.int64))
        return decision.mask[wanted]

    refined = decide_anew(rle, field.band, field.halo, decide, strip_px)
    thousands = 1000 * changed
    is_believed = said >= field.least_said * thousands or beyond >= field.least_beyond * thousands
    return refined if is_believed else rle
