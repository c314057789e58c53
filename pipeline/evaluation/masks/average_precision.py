"""Average precision and recall as COCO defines them, counted image after image.

T.-Y. Lin et al., "Microsoft COCO", 2014, and COCOeval of pycocotools, with which it agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.masks.detections import Floats, ImageMasks, Int64s, count_pixels
from pipeline.evaluation.masks.matching import IOU_LEVELS, Bits, match_found
from workers.numba_jit import jit_exact

AREAS_PX: Mapping[str, tuple[float, float]] = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}
"""COCO's ranges of areas, in pixels, both ends included."""
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Precisions:
    """Means over classes and levels of IoU; None where there is nothing to be found.

    `ap` by range of areas, `ap_50` and `ap_75` of all sizes at one level, `ar` by how many masks
    of a class and an image count, `ar_by_area` for the most of them.
    """

    ap: Mapping[str, float | None]
    ap_50: float | None
    ap_75: float | None
    ar: Mapping[int, float | None]
    ar_by_area: Mapping[str, float | None]


@dataclass(slots=True)
class _Part:
    """Of the found masks of an image: class, score, rank in their class, bits by range of areas."""

    image: int
    classes: Int64s
    scores: Floats
    ranks: Int64s
    matched: Bits
    passed_over: Bits


@dataclass(slots=True)
class AveragePrecision:
    """Counts the masks of image after image.

    `most` masks of an image and a class count, the surest. With `by_class` false all masks are of
    one class.
    """

    most: tuple[int, ...] = (1, 10, 100)
    by_class: bool = True
    _parts: list[_Part] = field(default_factory=list)
    _true: list[tuple[int, Int64s, npt.NDArray[np.bool_]]] = field(default_factory=list)
    _images: int = 0

    def add(self, image: ImageMasks, iou: Floats) -> None:
        """Count an image: iou (found, true), IoS with crowds."""
        true_classes = np.array([self._number(mask.category) for mask in image.true], np.int64)
        crowd = np.array([mask.is_crowd for mask in image.true], np.bool_)
        areas = np.array([mask.area for mask in image.true], np.float64)
        classes = np.array([self._number(mask.category) for mask in image.found], np.int64)
        scores = np.array([mask.score for mask in image.found], np.float64)
        ranks = _rank(classes)
        kept = ranks < self.most[-1]
        iou, classes, scores, ranks = iou[kept], classes[kept], scores[kept], ranks[kept]
        sizes = np.array([count_pixels(mask.rle) for mask in image.found], np.float64)[kept]
        ignored = np.stack([crowd | _is_outside(areas, name) for name in AREAS_PX])
        matched = np.empty((len(AREAS_PX), len(classes)), np.uint16)
        passed_over = np.empty_like(matched)
        everything = np.uint16((1 << len(IOU_LEVELS)) - 1)
        for row, name in enumerate(AREAS_PX):
            matched[row], passed_over[row] = match_found(
                iou, classes, true_classes, crowd, ignored[row], IOU_LEVELS
            )
            # What matches nothing and is of another size is none of this range's mistakes.
            outside = np.where(_is_outside(sizes, name), everything, np.uint16(0))
            passed_over[row] |= outside & ~matched[row]
        self._parts.append(_Part(self._images, classes, scores, ranks, matched, passed_over))
        self._true.append((self._images, true_classes, ~ignored))
        self._images += 1

    def _number(self, category: int) -> int:
        return category if self.by_class else 0

    def measure(self, weights: Int64s | None = None) -> Precisions:
        """The figures; `weights`: how often each image counts, for resampling."""
        counts = np.ones(self._images, np.int64) if weights is None else weights
        curves = _Curves(self._parts, self._true, counts)
        ap = {name: curves.average(row, self.most[-1]) for row, name in enumerate(AREAS_PX)}
        return Precisions(
            ap,
            curves.average(0, self.most[-1], level=0),
            curves.average(0, self.most[-1], level=5),
            {most: curves.recall(0, most) for most in self.most},
            {
                name: curves.recall(row, self.most[-1])
                for row, name in enumerate(AREAS_PX)
                if name != "all"
            },
        )


def _rank(classes: Int64s) -> Int64s:
    """The place of each found mask among those of its class, which come surest first."""
    ranks = np.empty(len(classes), np.int64)
    for category in np.unique(classes):
        places = np.flatnonzero(classes == category)
        ranks[places] = np.arange(len(places))
    return ranks


def _is_outside(areas: Floats, name: str) -> npt.NDArray[np.bool_]:
    low, high = AREAS_PX[name]
    outside: npt.NDArray[np.bool_] = (areas < low) | (areas > high)
    return outside


class _Curves:
    """Precision over recall of every class, range of areas and level."""

    def __init__(
        self,
        parts: list[_Part],
        true: list[tuple[int, Int64s, npt.NDArray[np.bool_]]],
        counts: Int64s,
    ) -> None:
        self._counts = counts
        self._wanted = _count_wanted(true, counts)
        self._by_class = _join_by_class(parts, set(self._wanted))
        self._known: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def average(self, row: int, most: int, level: int | None = None) -> float | None:
        """Mean precision over 101 recalls, levels (or at one) and classes."""
        precision, _ = self._measure(row, most)
        if not len(precision):
            return None
        return float((precision if level is None else precision[:, level]).mean())

    def recall(self, row: int, most: int) -> float | None:
        """Mean recall over levels and classes."""
        _, recall = self._measure(row, most)
        return float(recall.mean()) if len(recall) else None

    def _measure(self, row: int, most: int) -> tuple[Floats, Floats]:
        """Precision and recall, (classes, levels), of classes of which something is to be found."""
        if (row, most) not in self._known:
            each = [
                self._measure_class(category, wanted[row], row, most)
                for category, wanted in self._wanted.items()
                if wanted[row]
            ]
            shape = (0, len(IOU_LEVELS))
            self._known[row, most] = (
                np.array([precision for precision, _ in each]).reshape(-1, shape[1]),
                np.array([recall for _, recall in each]).reshape(-1, shape[1]),
            )
        return self._known[row, most]

    def _measure_class(
        self, category: int, wanted: int, row: int, most: int
    ) -> tuple[Floats, Floats]:
        levels = len(IOU_LEVELS)
        part = self._by_class.get(category)
        if part is None:
            return np.zeros(levels), np.zeros(levels)
        kept = part.ranks < most
        precision, recall = np.zeros(levels), np.zeros(levels)
        _fill_levels(
            part.matched[row][kept], part.passed_over[row][kept],
            self._counts[part.images[kept]], int(wanted), _RECALLS, precision, recall,
        )  # fmt: skip
        return precision, recall


@jit_exact
def _fill_levels(
    matched: Bits, passed_over: Bits, times: Int64s, wanted: int, recalls: Floats,
    precision: Floats, recall: Floats,
) -> None:  # fmt: skip
    """Precision and recall at each level of found masks of a class, surest first.

    Precision is the mean over recalls of the highest one at that recall or more, 0 beyond.
    """
    count = len(matched)
    precisions, reached = np.empty(count), np.empty(count)
    for level in range(len(precision)):
        bit = np.uint16(1 << level)
        right = wrong = 0
        for number in range(count):
            if not passed_over[number] & bit:
                if matched[number] & bit:
                    right += times[number]
                else:
                    wrong += times[number]
            reached[number] = right / wanted
            precisions[number] = right / (right + wrong) if right else 0.0
        recall[level] = right / wanted
        highest, total = 0.0, 0.0
        number = count - 1
        for place in range(len(recalls) - 1, -1, -1):
            while number >= 0 and reached[number] >= recalls[place]:
                highest = max(highest, precisions[number])
                number -= 1
            if number < count - 1:
                total += highest
        precision[level] = total / len(recalls)


def _count_wanted(
    true: list[tuple[int, Int64s, npt.NDArray[np.bool_]]], counts: Int64s
) -> dict[int, Int64s]:
    """How many masks of each class are to be found, by range of areas; classes in order."""
    wanted: dict[int, Int64s] = {}
    for image, classes, counted in true:
        for category in np.unique(classes):
            of_class = counted[:, classes == category].sum(axis=1) * counts[image]
            wanted[int(category)] = wanted.get(int(category), np.int64(0)) + of_class
    return dict(sorted(wanted.items()))


@dataclass(frozen=True, slots=True)
class _ClassPart:
    """The found masks of a class, surest first."""

    images: Int64s
    ranks: Int64s
    matched: Bits
    passed_over: Bits


def _join_by_class(parts: list[_Part], classes: set[int]) -> dict[int, _ClassPart]:
    if not parts:
        return {}
    images = np.concatenate([np.full(len(part.classes), part.image) for part in parts])
    found_classes = np.concatenate([part.classes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    ranks = np.concatenate([part.ranks for part in parts])
    matched = np.concatenate([part.matched for part in parts], axis=1)
    passed_over = np.concatenate([part.passed_over for part in parts], axis=1)
    joined = {}
    for category in classes:
        places = np.flatnonzero(found_classes == category)
        if not len(places):
            continue
        places = places[np.argsort(-scores[places], kind="mergesort")]
        joined[category] = _ClassPart(
            images[places], ranks[places], matched[:, places], passed_over[:, places]
        )
    return joined
