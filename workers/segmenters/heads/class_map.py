"""Gives every pixel of an image its likeliest class, and makes objects of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from schemas.masks import ObjectMask
from schemas.options import RegionsName, SegmenterOptions
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.enlarge import PlacedLogits, split_rows
from workers.segmenters.heads.regions import Regions, connect, measure_regions

Int32s = npt.NDArray[np.int32]
Float32s = npt.NDArray[np.float32]

LEAST_REGION_PX = 64
"""Regions below are mostly the ragged edges of others; unless `min_mask_region_area` is given."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """labels int32 and shares float32 (height, width): the likeliest class, and how likely it is.

    A label is -1 where that class has no name.
    """

    labels: Int32s
    shares: Float32s


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPart:
    """`to_scores` gives, of the enlarged logits (rows, columns, n), those of every class."""

    placed: PlacedLogits
    to_scores: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class SemanticHead:
    """Every connected region of a class is an object, or, with `regions` "whole", every class.

    Regions of fewer than `least_px` pixels are none. An object's score is the mean over its pixels
    of the share that its class has of all classes' probabilities.
    """

    classes: Classes
    regions: RegionsName
    least_px: int
    options: SegmenterOptions

    @classmethod
    def choose(cls, classes: Classes, options: SegmenterOptions) -> SemanticHead:
        """What `options` say."""
        least_px = options.min_mask_region_area
        return cls(
            classes,
            options.regions,
            LEAST_REGION_PX if least_px is None else least_px,
            options,
        )

    def find(self, parts: Sequence[PlacedLogits]) -> list[ObjectMask]:
        """parts: float32 (classes, h, w), logits of one image's frames."""
        return self.find_in([ScoredPart(part, lambda logits: logits.softmax(2)) for part in parts])

    def find_in(self, parts: Sequence[ScoredPart]) -> list[ObjectMask]:
        """The objects of `map_classes`."""
        found = map_classes(parts, self.classes)
        if self.regions == "whole":
            ids, kinds = found.labels, np.arange(len(self.classes.names), dtype=np.int32)
        else:
            ids, kinds = connect(found.labels)
        regions = measure_regions(ids, len(kinds), found.shares)
        masks = (
            ObjectMask.measure(
                regions.encode(region),
                segmenter_label=self.classes.names[kinds[region]],
                segmenter_score=min(float(regions.means[region]), 1.0),
            )
            for region in self._choose_regions(regions)
        )
        return [mask for mask in masks if mask is not None]

    def _choose_regions(self, regions: Regions) -> list[int]:
        """The surest within the limits: what else there is need not be encoded."""
        least, most = (
            frac * regions.ids.size
            for frac in (self.options.min_area_frac, self.options.max_area_frac)
        )
        areas = regions.areas
        fits = (areas > 0) & (areas >= max(self.least_px, least)) & (areas <= most)
        order = np.lexsort((-areas, -regions.means))
        chosen: list[int] = order[fits[order]][: self.options.max_objects].tolist()
        return chosen

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "class map 1",
            "classes": self.classes.describe(),
            "regions": self.regions,
            "least_px": self.least_px,
        }


def map_classes(parts: Sequence[ScoredPart], classes: Classes) -> ClassMap:
    """The likeliest class of each pixel of the image that `parts` show, each a frame of it.

    Where parts overlap they are averaged.
    """
    size_hw = parts[0].placed.placement.size_hw
    count = len(classes.names)
    labels, shares = np.empty(size_hw, np.int32), np.empty(size_hw, np.float32)
    named = torch.tensor([name is not None for name in classes.names])
    for top, bottom in split_rows(size_hw, max(count, len(parts[0].placed.logits))):
        scores = _sum_scores(parts, top, bottom, count)
        best, kinds = scores.max(dim=2)
        share = best / scores.sum(dim=2).clamp(min=1e-12)
        kinds = kinds.cpu()
        labels[top:bottom] = torch.where(named[kinds], kinds, -1).numpy()
        shares[top:bottom] = share.cpu().numpy()
    return ClassMap(labels, shares)


def _sum_scores(parts: Sequence[ScoredPart], top: int, bottom: int, count: int) -> Tensor:
    """float32 (bottom - top, width, count).

    Sums stand for means: of a pixel every class has as many summands.
    """
    placed = parts[0].placed
    width = placed.placement.size_hw[1]
    total = torch.zeros((bottom - top, width, count), device=placed.logits.device)
    for part in parts:
        strip = part.placed.enlarge(top, bottom)
        if strip is not None:
            rows = slice(strip.top - top, strip.bottom - top)
            total[rows, strip.left : strip.right] += part.to_scores(strip.logits)
    return total
