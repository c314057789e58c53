"""Makes masks finer by refiners, one after the other; a module is imported only when chosen."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import RefinerName, RefinerOptions
from workers.segmenter_protocols import FindSam, ImageRefiner, Refiner


def build_refiners(
    names: Sequence[RefinerName], options: RefinerOptions, find_sam: FindSam
) -> tuple[Refiner, ...]:
    """Those of `workers.refiners`, in the order in which they are to be used.

    Raises what `find_sam` does, which is called by those that need one.
    """
    modules = (importlib.import_module(f"workers.refiners.{name}") for name in names)
    return tuple(module.build(options, find_sam) for module in modules)


@dataclass(frozen=True, slots=True, eq=False)
class RefiningChain:
    """Refiners that have seen an image, in the order in which they are used."""

    refiners: tuple[ImageRefiner, ...]

    @classmethod
    def open_image(cls, image: UInt8Image, refiners: Sequence[Refiner]) -> RefiningChain:
        """For the masks of uint8 (height, width, 3) RGB."""
        return cls(tuple(refiner.open_image(image) for refiner in refiners))

    def refine(self, masks: Sequence[ObjectMask]) -> list[ObjectMask]:
        """The masks as all refiners leave them. One that would be nothing then stays as it is."""
        rles = {number: mask.rle for number, mask in enumerate(masks)}
        for refiner in self.refiners:
            refined = zip(rles, refiner.refine([*rles.values()]), strict=True)
            rles = {number: rle for number, rle in refined if rle.area_px}
        return [_replace_rle(mask, rles.get(number)) for number, mask in enumerate(masks)]


def _replace_rle(mask: ObjectMask, rle: CocoRle | None) -> ObjectMask:
    if rle is None:
        return mask
    return replace(mask, rle=rle, bbox_xyxy=rle.bbox_xyxy, area_px=rle.area_px)
