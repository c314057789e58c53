"""Panoptic quality: how well disjoint segments of images match the true ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.masks.detections import Floats, Int64s
from pipeline.evaluation.masks.disjoint import SharedPixels, share_pixels
from schemas.masks import CocoRle

_MATCH_IOU = 0.5  # above it no segment can match two others
_EXCUSED_SHARE = 0.5  # of a found segment in void or crowds: beyond it, it is no mistake


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of an image and its class; a true crowd stands for several objects of it."""

    rle: CocoRle
    kind: Hashable
    is_crowd: bool = False


@dataclass(slots=True)
class _Tally:
    iou: float = 0.0
    matched: int = 0
    unmatched: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """PQ is the product of SQ, the mean IoU of pairs, and RQ, the F1 score of segments."""

    pq: float = 0.0
    sq: float = 0.0
    rq: float = 0.0


@dataclass(slots=True)
class PanopticQuality:
    """Counts segments of image after image (A. Kirillov et al., "Panoptic segmentation", 2019)."""

    _kinds: dict[Hashable, int] = field(default_factory=dict)
    _rows: list[tuple[float, ...]] = field(default_factory=list)
    """Of each image and class: the image, the class, IoU, matched, unmatched."""
    _counted: Floats | None = None
    _images: int = 0

    def add(
        self, found: Sequence[Segment], true: Sequence[Segment], void: CocoRle | None = None
    ) -> None:
        """Count an image, whose segments are disjoint, found ones and true ones each.

        `void` is what no class was given to: it counts neither for nor against a segment.
        """
        sides = [each.rle for each in found], [each.rle for each in true]
        if found or true:
            size_hw = (*found, *true)[0].rle.size_hw
            self.count(share_pixels(size_hw, *sides, void), found, true)

    def count(
        self, shared: SharedPixels, found: Sequence[Segment], true: Sequence[Segment]
    ) -> None:
        """Count an image of which is known what its segments share.

        What is found mostly in void, or in crowds of its class, is no mistake; a crowd need not be
        found.
        """
        tallies: dict[Hashable, _Tally] = defaultdict(_Tally)
        unmatched = set(np.flatnonzero(shared.found_px).tolist())
        for column, wanted in enumerate(true):
            if wanted.is_crowd or not shared.true_px[column]:
                continue
            tally = tallies[wanted.kind]
            for row in np.flatnonzero(shared.common_px[:, column]).tolist():
                common = int(shared.common_px[row, column])
                both = int(shared.found_px[row] + shared.true_px[column])
                union = both - common - int(shared.void_px[row])
                if found[row].kind == wanted.kind and common > _MATCH_IOU * union:
                    tally.matched += 1
                    tally.iou += common / union
                    unmatched.discard(row)
                    break
            else:
                tally.unmatched += 1
        for row in unmatched:
            crowded = _count_crowded(found[row].kind, true, shared.common_px[row])
            if shared.void_px[row] + crowded <= _EXCUSED_SHARE * shared.found_px[row]:
                tallies[found[row].kind].unmatched += 1
        for kind, tally in tallies.items():
            place = self._kinds.setdefault(kind, len(self._kinds))
            self._rows.append((self._images, place, tally.iou, tally.matched, tally.unmatched))
        self._images += 1
        self._counted = None

    def extend(self, other: PanopticQuality) -> None:
        """Count the images of another after these."""
        places = [self._kinds.setdefault(kind, len(self._kinds)) for kind in other._kinds]
        self._rows += [
            (self._images + image, places[int(place)], *tally)
            for image, place, *tally in other._rows
        ]
        self._images += other._images
        self._counted = None

    @property
    def pooled(self) -> Quality:
        """Of all segments together, of whatever class; 0 without any."""
        return self.measure()[0]

    @property
    def mean(self) -> Quality:
        """The mean over the classes that are there or were found; 0 without any."""
        return self.measure()[1]

    def measure(self, weights: Int64s | None = None) -> tuple[Quality, Quality]:
        """Of all segments, and the mean over classes; `weights`: how often each image counts."""
        if self._counted is None:
            self._counted = np.array(self._rows, np.float64).reshape(-1, 5)
        images, places = self._counted[:, :2].astype(np.int64).T
        times = 1 if weights is None else weights[images][:, None]
        sums = np.zeros((len(self._kinds), 3))
        np.add.at(sums, places, self._counted[:, 2:] * times)
        there = sums[sums[:, 1:].any(axis=1)]
        each = [_measure(*row) for row in there.tolist()]
        if not each:
            return Quality(), Quality()
        means = np.array([(one.pq, one.sq, one.rq) for one in each]).mean(axis=0)
        return _measure(*there.sum(axis=0).tolist()), Quality(*means.tolist())


def _count_crowded(kind: Hashable, true: Sequence[Segment], common_px: Int64s) -> int:
    """The pixels of a found segment in crowds of its class."""
    crowds = [place for place, each in enumerate(true) if each.is_crowd and each.kind == kind]
    return int(common_px[crowds].sum())


def _measure(iou: float, matched: float, unmatched: float) -> Quality:
    """The sum of the IoU of pairs over pairs and half of what has no partner, and its factors."""
    if not matched:
        return Quality()
    weight = matched + unmatched / 2
    return Quality(iou / weight, iou / matched, matched / weight)
