"""Tells how found masks are spread behind their figures: what is plotted of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.masks.detections import Floats, ImageMasks


@dataclass(frozen=True, slots=True, eq=False)
class MaskSpread:
    """Behind the figures of found masks.

    `precision`: at each level of IoU and recall of any class, (levels, recalls), and as the mean
    over classes, None where these are not known; `classes`: AP and AR of each. `pair_iou`, also of
    boundaries: of pairs of found and true masks, (pairs,). `areas_px`, `best_iou`: of each true
    object, crowds left out, (objects,). `scores`, `right`: of each found mask, (found,), at an IoU
    of 0.5, and of the right class where classes are known.
    """

    precision: Floats
    precision_by_class: Floats | None
    classes: Mapping[int, tuple[float, float]]
    pair_iou: Floats
    pair_boundary_iou: Floats
    areas_px: Floats
    best_iou: Floats
    scores: Floats
    right: npt.NDArray[np.bool_]


@dataclass(slots=True)
class TrueObjects:
    """Collects the true objects of image after image: area, and IoU of the best found mask."""

    _areas: list[Floats] = field(default_factory=list)
    _ious: list[Floats] = field(default_factory=list)

    def add(self, image: ImageMasks, iou: Floats) -> None:
        """Those of an image, iou (found, true); crowds are left out."""
        own = [not mask.is_crowd for mask in image.true]
        self._areas.append(np.array([mask.area for mask in image.true], np.float64)[own])
        self._ious.append(iou.max(axis=0, initial=0.0)[own])

    def join(self) -> tuple[Floats, Floats]:
        """Areas in pixels, and IoUs, (objects,) each."""
        nothing = np.zeros(0)
        return np.concatenate([nothing, *self._areas]), np.concatenate([nothing, *self._ious])
