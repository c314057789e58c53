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
RECALLS = np.linspace(0, 1, 101)
"""At which precision is read."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The found masks of an image: class, score, rank in their class, bits by range of areas.

    Of its true masks: class, and whether they are to be found, by range of areas.
    """

    classes: Int64s
    scores: Floats
    ranks: Int64s
    matched: Bits
    passed_over: Bits
    true_classes: Int64s
    wanted: npt.NDArray[np.bool_]


@dataclass(slots=True)
class AveragePrecision:
    """Counts the masks of image after image.

    `most` masks of an image and a class count, the surest. With `by_class` false all masks are of
    one class.
    """

    most: tuple[int, ...] = (1, 10, 100)
    by_class: bool = True
    _parts: list[_Part] = field(default_factory=list)
    _joined: _Joined | None = None

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
        part = _Part(classes, scores, ranks, matched, passed_over, true_classes, ~ignored)
        self._parts.append(part)
        self._joined = None

    def _number(self, category: int) -> int:
        return category if self.by_class else 0

    def measure(self, weights: Int64s | None = None) -> Precisions:
        """The figures; `weights`: how often each image counts, for resampling."""
        joined = self._join()
        counts = np.ones(len(self._parts), np.int64) if weights is None else weights
        curves = {
            (name, most): joined.measure(row, most, counts)
            for row, name in enumerate(AREAS_PX)
            for most in (self.most if name == "all" else self.most[-1:])
        }
        last = self.most[-1]
        precision, _ = curves["all", last]
        return Precisions(
            {name: _mean(curves[name, last][0]) for name in AREAS_PX},
            _mean(precision[:, 0]),
            _mean(precision[:, 5]),
            {most: _mean(curves["all", most][1]) for most in self.most},
            {name: _mean(curves[name, last][1]) for name in AREAS_PX if name != "all"},
        )

    def trace_precision(self) -> Floats:
        """Precision at each of `RECALLS`, (levels, recalls), the mean over classes.

        The mean of each level is its average precision. Zeros where there is nothing to be found.
        """
        joined, last = self._join(), self.most[-1]
        whole = np.ones(len(self._parts), np.int64)
        curves = [joined.trace(place, last) for place in joined.list_wanted(whole)]
        return np.mean(curves, axis=0) if curves else np.zeros((len(IOU_LEVELS), len(RECALLS)))

    def measure_classes(self, weights: Int64s | None = None) -> dict[int, tuple[float, float]]:
        """Average precision and recall of each class of which something is to be found.

        `weights`: how often each image counts, for resampling.
        """
        joined = self._join()
        counts = np.ones(len(self._parts), np.int64) if weights is None else weights
        precision, recall = joined.measure(0, self.most[-1], counts)
        classes = joined.classes[joined.list_wanted(counts)].tolist()
        means = zip(precision.mean(axis=1).tolist(), recall.mean(axis=1).tolist(), strict=True)
        return dict(zip(classes, means, strict=True))

    def list_judged(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The scores of found masks, and whether they are right at an IoU of 0.5: (found,) each.

        Without those that are neither right nor wrong.
        """
        scores = [part.scores for part in self._parts]
        counted = [part.passed_over[0] & 1 == 0 for part in self._parts]
        right = [part.matched[0] & 1 == 1 for part in self._parts]
        if not scores:
            return np.zeros(0), np.zeros(0, np.bool_)
        kept = np.concatenate(counted)
        return np.concatenate(scores)[kept], np.concatenate(right)[kept]

    def _join(self) -> _Joined:
        if self._joined is None:
            self._joined = _join(self._parts)
        return self._joined


def _mean(values: Floats) -> float | None:
    """Over classes of which something is to be found, and levels."""
    return float(values.mean()) if values.size else None


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


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """The masks of all images, class after class, found ones surest first.

    `classes`: those of which there are true masks; `ends`: where each ends among the found ones,
    from 0 on.
    """

    classes: Int64s
    ends: Int64s
    images: Int64s
    ranks: Int64s
    matched: Bits
    passed_over: Bits
    true_places: Int64s
    true_images: Int64s
    wanted: npt.NDArray[np.bool_]

    def measure(self, row: int, most: int, counts: Int64s) -> tuple[Floats, Floats]:
        """Precision and recall at each level, (classes, levels), of what is to be found.

        Of the masks of a range of areas, the surest `most` of an image, each image counted so often
        as `counts` says.
        """
        times = counts[self.true_images] * self.wanted[row]
        wanted = np.bincount(self.true_places, times, len(self.ends) - 1).astype(np.int64)
        precision = np.zeros((len(wanted), len(IOU_LEVELS)))
        recall = np.zeros_like(precision)
        _fill_levels(
            self.matched[row], self.passed_over[row], self.ranks, most, counts[self.images],
            self.ends, wanted, RECALLS, precision, recall,
        )  # fmt: skip
        return precision[wanted > 0], recall[wanted > 0]

    def list_wanted(self, counts: Int64s) -> list[int]:
        """The places of the classes of which something of any size is to be found."""
        wanted = self.wanted[0] & (counts[self.true_images] > 0)
        return [int(place) for place in np.unique(self.true_places[wanted])]

    def trace(self, place: int, most: int) -> Floats:
        """Precision of a class, of all sizes, at each of `RECALLS`: (levels, recalls)."""
        own = slice(self.ends[place], self.ends[place + 1])
        wanted = np.count_nonzero(self.wanted[0] & (self.true_places == place))
        precision = np.zeros((len(IOU_LEVELS), len(RECALLS)))
        for level in range(len(IOU_LEVELS)):
            bit = np.uint16(1 << level)
            counted = (self.ranks[own] < most) & (self.passed_over[0, own] & bit == 0)
            right = (self.matched[0, own][counted] & bit > 0).cumsum()
            so_far = right / np.arange(1, len(right) + 1)
            # At a recall stands the highest precision at that recall or more; the last is none.
            highest = np.append(np.maximum.accumulate(so_far[::-1])[::-1], 0.0)
            precision[level] = highest[np.searchsorted(right / wanted, RECALLS)]
        return precision


def _join(parts: list[_Part]) -> _Joined:
    """Only classes of which there are true masks: of others nothing can be right or missed."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        bits = np.zeros((len(AREAS_PX), 0), np.uint16)
        wanted = np.zeros((len(AREAS_PX), 0), np.bool_)
        ends = np.zeros(1, np.int64)
        return _Joined(nothing, ends, nothing, nothing, bits, bits, nothing, nothing, wanted)
    true_classes = np.concatenate([part.true_classes for part in parts])
    known, true_places = np.unique(true_classes, return_inverse=True)
    classes = np.concatenate([part.classes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    order = np.lexsort((np.arange(len(classes)), -scores, classes))
    order = order[np.isin(classes[order], known)]
    ends = np.searchsorted(classes[order], known, side="right")
    return _Joined(
        known,
        np.concatenate([[0], ends]),
        np.repeat(np.arange(len(parts)), [len(part.classes) for part in parts])[order],
        np.concatenate([part.ranks for part in parts])[order],
        np.concatenate([part.matched for part in parts], axis=1)[:, order],
        np.concatenate([part.passed_over for part in parts], axis=1)[:, order],
        true_places,
        np.repeat(np.arange(len(parts)), [len(part.true_classes) for part in parts]),
        np.concatenate([part.wanted for part in parts], axis=1),
    )


@jit_exact
def _fill_levels(
    matched: Bits, passed_over: Bits, ranks: Int64s, most: int, times: Int64s, ends: Int64s,
    wanted: Int64s, recalls: Floats, precision: Floats, recall: Floats,
) -> None:  # fmt: skip
    """Fill in each class's precision and recall at each level: (classes, levels).

    Precision is the mean over recalls of the highest one at that recall or more, 0 beyond.
    """
    precisions, reached = np.empty(len(matched)), np.empty(len(matched))
    for place in range(len(wanted)):
        if not wanted[place]:
            continue
        for level in range(precision.shape[1]):
            bit = np.uint16(1 << level)
            right = wrong = count = 0
            for number in range(ends[place], ends[place + 1]):
                if ranks[number] >= most or passed_over[number] & bit:
                    continue
                if matched[number] & bit:
                    right += times[number]
                else:
                    wrong += times[number]
                reached[count] = right / wanted[place]
                precisions[count] = right / (right + wrong) if right else 0.0
                count += 1
            recall[place, level] = right / wanted[place]
            highest, total = 0.0, 0.0
            for step in range(len(recalls) - 1, -1, -1):
                while count > 0 and reached[count - 1] >= recalls[step]:
                    count -= 1
                    highest = max(highest, precisions[count])
                total += highest
            precision[place, level] = total / len(recalls)
