"""Measures found masks against true ones in the field's figures, with intervals by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.masks.average_precision import AREAS_PX, AveragePrecision
from pipeline.evaluation.masks.boundary import (
    find_boundary_width,
    find_contour_tolerance,
    measure_boundary_iou,
    measure_boundary_overlaps,
    measure_contour_f,
)
from pipeline.evaluation.masks.confusion import Confusion
from pipeline.evaluation.masks.detections import (
    UNKNOWN_CLASS,
    Floats,
    ImageMasks,
    Int64s,
    count_pixels,
)
from pipeline.evaluation.masks.disjoint import share_pixels
from pipeline.evaluation.masks.overlaps import measure_overlaps
from pipeline.evaluation.masks.semantic import PixelCounts, PixelScores
from pipeline.evaluation.masks.spread import MaskSpread, TrueObjects
from pipeline.evaluation.panoptic_quality import PanopticQuality, Segment
from pipeline.evaluation.resampling import SAMPLES, Figure, describe_figure, resample

MOST_OF_A_CLASS = (100,)
MOST_OF_ANY_CLASS = (10, 100, 1000)


@dataclass(frozen=True, slots=True)
class MaskScores:
    """Figures by name; of every class its pixels; how often each was taken for which."""

    images: int
    true: int
    found: int
    figures: Mapping[str, Figure]
    pixels: PixelScores
    confusion: Confusion
    spread: MaskSpread


@dataclass(slots=True)
class _Pairs:
    """Of each image: how many masks found their partner, and sums of how well these fit.

    `fits`: IoU, Boundary IoU and F of the pairs of each image, (pairs, 3).
    """

    images: list[tuple[int, float, float, float]] = field(default_factory=list)
    fits: list[Floats] = field(default_factory=list)

    def add(self, image: ImageMasks, pairs: list[tuple[int, int]], iou: Floats) -> None:
        width_px, tolerance = (
            find_boundary_width(image.size_hw),
            find_contour_tolerance(image.size_hw),
        )
        fits = np.zeros((len(pairs), 3))
        for place, (row, column) in enumerate(pairs):
            found, true = image.found[row].rle, image.true[column].rle
            fits[place] = (
                iou[row, column],
                measure_boundary_iou(found, true, width_px),
                measure_contour_f(found, true, tolerance),
            )
        self.fits.append(fits)
        self.images.append((len(pairs), *fits.sum(axis=0).tolist()))

    def extend(self, other: _Pairs) -> None:
        self.images += other.images
        self.fits += other.fits

    def measure(self, weights: Int64s) -> list[float | None]:
        """The means of IoU, Boundary IoU and F."""
        sums = np.array(self.images, np.float64).reshape(-1, 4).T @ weights
        return [float(total / sums[0]) if sums[0] else None for total in sums[1:]]


@dataclass(slots=True)
class MaskEvaluation:
    """Counts image after image; `true` and `found` say how many masks these had."""

    images: int = 0
    true: int = 0
    found: int = 0
    _knows_classes: bool = False
    _by_class: AveragePrecision = field(default_factory=lambda: AveragePrecision(MOST_OF_A_CLASS))
    _boundary: AveragePrecision = field(
        default_factory=lambda: AveragePrecision(MOST_OF_A_CLASS, areas=("all",))
    )
    _any_class: AveragePrecision = field(
        default_factory=lambda: AveragePrecision(MOST_OF_ANY_CLASS, by_class=False)
    )
    _any_boundary: AveragePrecision = field(
        default_factory=lambda: AveragePrecision(
            MOST_OF_ANY_CLASS[-1:], by_class=False, areas=("all",)
        )
    )
    _pairs: _Pairs = field(default_factory=_Pairs)
    _confusion: Confusion = field(default_factory=Confusion)
    _panoptic: PanopticQuality = field(default_factory=PanopticQuality)
    _any_panoptic: PanopticQuality = field(default_factory=PanopticQuality)
    _pixels: PixelCounts = field(default_factory=PixelCounts)
    _objects: TrueObjects = field(default_factory=TrueObjects)

    def add(self, image: ImageMasks) -> Floats:
        """Count an image, and return the IoU of its masks, (found, true), IoS with crowds.

        Raises ValueError for an invalid RLE.
        """
        iou = measure_overlaps(image)
        boundary = measure_boundary_overlaps(image, iou, find_boundary_width(image.size_hw))
        self._by_class.add(image, iou)
        self._any_class.add(image, iou)
        self._boundary.add(image, boundary)
        self._any_boundary.add(image, boundary)
        self._pairs.add(image, self._confusion.add(image, iou), iou)
        self._objects.add(image, iou)
        self._add_segments(image)
        self.images += 1
        self.true += len(image.true)
        self.found += len(image.found)
        self._knows_classes |= any(mask.category != UNKNOWN_CLASS for mask in image.found)
        return iou

    def _add_segments(self, image: ImageMasks) -> None:
        """Each pixel to the surest found mask, and to the smallest true one, crowds last."""
        true = sorted(image.true, key=lambda mask: (mask.is_crowd, mask.area))
        shared = share_pixels(
            image.size_hw,
            [mask.rle for mask in image.found],
            [mask.rle for mask in true],
            image.void,
        )
        for quality, is_one in ((self._panoptic, False), (self._any_panoptic, True)):
            quality.count(
                shared,
                [Segment(mask.rle, 0 if is_one else mask.category) for mask in image.found],
                [Segment(mask.rle, 0 if is_one else mask.category, mask.is_crowd) for mask in true],
            )
        self._pixels.count(
            shared,
            [mask.category for mask in image.found],
            [mask.category for mask in true],
            image.size_hw[0] * image.size_hw[1]
            - (0 if image.void is None else count_pixels(image.void)),
        )

    def extend(self, other: MaskEvaluation) -> None:
        """Count the images of another after these."""
        self._by_class.extend(other._by_class)
        self._boundary.extend(other._boundary)
        self._any_class.extend(other._any_class)
        self._any_boundary.extend(other._any_boundary)
        self._pairs.extend(other._pairs)
        self._confusion.extend(other._confusion)
        self._panoptic.extend(other._panoptic)
        self._any_panoptic.extend(other._any_panoptic)
        self._pixels.extend(other._pixels)
        self._objects.extend(other._objects)
        self.images += other.images
        self.true += other.true
        self.found += other.found
        self._knows_classes |= other._knows_classes

    def measure(
        self, samples: int = SAMPLES, note: Callable[[int], None] = lambda measured: None
    ) -> MaskScores:
        """All figures; without samples no interval. `note`: how many of these are measured."""
        # First as it is: what threads then share has been joined.
        values = self.list_figures(np.ones(self.images, np.int64))
        drawn = resample(self.list_figures, self.images, samples if values else 0, note)
        figures = {
            name: describe_figure(value, [each[name] for each in drawn])
            for name, value in values.items()
        }
        pixels = self._pixels.measure()
        return MaskScores(
            self.images, self.true, self.found, figures, pixels, self._confusion, self._spread()
        )

    def _spread(self) -> MaskSpread:
        by_class = self._by_class if self._knows_classes else None
        fits = np.concatenate([np.zeros((0, 3)), *self._pairs.fits])
        return MaskSpread(
            self._any_class.trace_precision(),
            None if by_class is None else by_class.trace_precision(),
            {} if by_class is None else by_class.measure_classes(),
            fits[:, 0],
            fits[:, 1],
            *self._objects.join(),
            *(by_class or self._any_class).list_judged(),
        )

    def list_figures(self, weights: Int64s) -> dict[str, float | None]:
        """All figures with each image counting `weights` times, int64 (images,)."""
        any_class, any_boundary = (
            self._any_class.measure(weights),
            self._any_boundary.measure(weights),
        )
        iou, boundary_iou, contour_f = self._pairs.measure(weights)
        segments = self._any_panoptic.measure(weights)[0]
        figures: dict[str, float | None] = {
            **_name_areas("ap_any_class", any_class.ap),
            "ap_any_class_50": any_class.ap_50,
            "ap_any_class_75": any_class.ap_75,
            **{f"ar_{most}": any_class.ar[most] for most in MOST_OF_ANY_CLASS},
            **_name_areas("ar_1000", any_class.ar_by_area),
            "boundary_ap_any_class": any_boundary.ap["all"],
            "mean_iou": iou,
            "mean_boundary_iou": boundary_iou,
            "contour_f": contour_f,
            "pq_any_class": segments.pq,
            "sq_any_class": segments.sq,
            "rq_any_class": segments.rq,
        }
        if self._knows_classes:
            figures |= self._list_figures_of_classes(weights)
        return figures

    def list_class_ap(self, weights: Int64s) -> dict[str, float | None]:
        """The average precision of each class, by its number, weighted as in `list_figures`."""
        if not self._knows_classes:
            return {}
        classes = self._by_class.measure_classes(weights)
        return {str(number): ap for number, (ap, _) in classes.items()}

    def _list_figures_of_classes(self, weights: Int64s) -> dict[str, float | None]:
        by_class, boundary = self._by_class.measure(weights), self._boundary.measure(weights)
        segments, pixels = self._panoptic.measure(weights)[1], self._pixels.measure(weights)
        return {
            **_name_areas("ap", by_class.ap),
            "ap_50": by_class.ap_50,
            "ap_75": by_class.ap_75,
            "ar_100_by_class": by_class.ar[MOST_OF_A_CLASS[-1]],
            "boundary_ap": boundary.ap["all"],
            "pq": segments.pq,
            "sq": segments.sq,
            "rq": segments.rq,
            "miou": pixels.miou,
            "frequency_weighted_iou": pixels.frequency_weighted_iou,
        }


def _name_areas(name: str, values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {
        name if area == "all" else f"{name}_{area}": values[area]
        for area in AREAS_PX
        if area in values
    }
