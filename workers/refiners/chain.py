"""Makes masks finer by refiners, one after the other; a module is imported only when chosen."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import RefinerName
from workers.protocols import Refiner


def build_refiners(names: Sequence[RefinerName]) -> tuple[Refiner, ...]:
    """Those of `workers.refiners`, in the order in which they are to be used."""
    return tuple(importlib.import_module(f"workers.refiners.{name}").build() for name in names)


def refine_mask(image: UInt8Image, mask: ObjectMask, refiners: Sequence[Refiner]) -> ObjectMask:
    """The mask as all refiners leave it. One that would be nothing then stays as it is."""
    rle = mask.rle
    for refiner in refiners:
        rle = refiner.refine(image, rle)
        if not rle.area_px:
            return mask
    return replace(mask, rle=rle, bbox_xyxy=rle.bbox_xyxy, area_px=rle.area_px)
