"""Compares the class of every pixel with the true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.masks.detections import Floats, Int64s
from pipeline.evaluation.masks.disjoint import SharedPixels

NO_CLASS = -1
"""The number of what is in no segment and not void: the background."""


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """A class by its pixels: how many are true, found and both, and its IoU."""

    category: int
    true_px: int
    found_px: int
    common_px: int

    @property
    def iou(self) -> float:
        """0 where the class is neither there nor found."""
        union = self.true_px + self.found_px - self.common_px
        return self.common_px / union if union else 0.0


@dataclass(frozen=True, slots=True)
class PixelScores:
    """IoU by class, without the background, which would drown the rest.

    `miou`: mean over the classes that are there. `frequency_weighted_iou`: their mean, each as
    often as it has true pixels (J. Long et al., 2015). None without any. `background` is apart.
    """

    miou: float | None
    frequency_weighted_iou: float | None
    classes: tuple[ClassPixels, ...]
    background: ClassPixels


@dataclass(slots=True)
class PixelCounts:
    """Counts the pixels of image after image by true and found class."""

    _pairs: dict[tuple[int, int], int] = field(default_factory=dict)
    _rows: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each image and pair of classes: the image, the pair, how many pixels."""
    _counted: Int64s | None = None
    _images: int = 0

    def count(
        self,
        shared: SharedPixels,
        found_classes: Sequence[int],
        true_classes: Sequence[int],
        counted_px: int,
    ) -> None:
        """Count an image of `counted_px` pixels that are not void, with its segments' classes."""
        pixels: dict[tuple[int, int], int] = {}
        common, found_only = shared.common_px, shared.found_px - shared.void_px
        for row, column in np.argwhere(common).tolist():
            pair = true_classes[column], found_classes[row]
            _count(pixels, *pair, int(common[row, column]))
        true_left = shared.true_px - common.sum(axis=0)
        for true_class, left in zip(true_classes, true_left.tolist(), strict=True):
            _count(pixels, true_class, NO_CLASS, left)
        found_left = found_only - common.sum(axis=1)
        for found_class, left in zip(found_classes, found_left.tolist(), strict=True):
            _count(pixels, NO_CLASS, found_class, left)
        _count(pixels, NO_CLASS, NO_CLASS, counted_px - sum(pixels.values()))
        for pair, count in pixels.items():
            place = self._pairs.setdefault(pair, len(self._pairs))
            self._rows.append((self._images, place, count))
        self._images += 1
        self._counted = None

    def extend(self, other: PixelCounts) -> None:
        """Count the images of another after these."""
        places = [self._pairs.setdefault(pair, len(self._pairs)) for pair in other._pairs]
        self._rows += [
            (self._images + image, places[place], count) for image, place, count in other._rows
        ]
        self._images += other._images
        self._counted = None

    def measure(self, weights: Int64s | None = None) -> PixelScores:
        """The figures; `weights`: how often each image counts, for resampling."""
        if self._counted is None:
            self._counted = np.array(self._rows, np.int64).reshape(-1, 3)
        images, places, counts = self._counted.T
        times = 1 if weights is None else weights[images]
        sums = np.zeros(len(self._pairs), np.int64)
        np.add.at(sums, places, counts * times)
        measured = _measure_classes(np.array(list(self._pairs), np.int64).reshape(-1, 2), sums)
        background = measured.pop(NO_CLASS, ClassPixels(NO_CLASS, 0, 0, 0))
        classes = tuple(measured.values())
        there = [one for one in classes if one.true_px]
        ious: Floats = np.array([one.iou for one in there])
        pixels_of = np.array([one.true_px for one in there])
        return PixelScores(
            float(ious.mean()) if there else None,
            float((ious * pixels_of).sum() / pixels_of.sum()) if there else None,
            classes,
            background,
        )


def _count(pixels: dict[tuple[int, int], int], true: int, found: int, count: int) -> None:
    if count:
        pixels[true, found] = pixels.get((true, found), 0) + count


def _measure_classes(pairs: Int64s, pixels: Int64s) -> dict[int, ClassPixels]:
    """Every class by its number, lowest first, from int64 (pairs, 2) of true and found ones."""
    numbers, places = np.unique(pairs, return_inverse=True)
    true, found = places.reshape(-1, 2).T
    sums = np.zeros((3, len(numbers)), np.int64)
    np.add.at(sums[0], true, pixels)
    np.add.at(sums[1], found, pixels)
    np.add.at(sums[2], true[true == found], pixels[true == found])
    rows = zip(numbers.tolist(), *sums.tolist(), strict=True)
    return {number: ClassPixels(number, *counts) for number, *counts in rows}
