"""Panoptic quality: how well disjoint segments of images match the true ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.masks import CocoRle
from schemas.overlaps import mask_iou

_MATCH_IOU = 0.5  # above it no segment can match two others


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of an image and its class."""

    rle: CocoRle
    kind: Hashable


@dataclass(slots=True)
class _Tally:
    iou: float = 0.0
    matched: int = 0
    unmatched: int = 0


@dataclass(slots=True)
class PanopticQuality:
    """Counts segments of image after image (A. Kirillov et al., "Panoptic segmentation", 2019)."""

    _of_kinds: dict[Hashable, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, found: Sequence[Segment], true: Sequence[Segment]) -> None:
        """Count an image, whose segments are disjoint, found ones and true ones each."""
        unmatched = set(range(len(found)))
        for wanted in true:
            tally = self._of_kinds[wanted.kind]
            for number in sorted(unmatched):
                if found[number].kind != wanted.kind:
                    continue
                iou = _measure_iou(found[number].rle, wanted.rle)
                if iou > _MATCH_IOU:
                    tally.matched += 1
                    tally.iou += iou
                    unmatched.discard(number)
                    break
            else:
                tally.unmatched += 1
        for number in unmatched:
            self._of_kinds[found[number].kind].unmatched += 1

    @property
    def pooled(self) -> float:
        """PQ of all segments together, of whatever class; 0 without any."""
        return _quality(self._of_kinds.values())

    @property
    def mean(self) -> float:
        """The mean of the PQ of each class that is there or was found; 0 without any."""
        each = [_quality([tally]) for tally in self._of_kinds.values()]
        return float(np.mean(each)) if each else 0.0


def _quality(tallies: Iterable[_Tally]) -> float:
    """The sum of the IoU of pairs over pairs and half of what has no partner."""
    tallies = list(tallies)
    weight = sum(tally.matched + tally.unmatched / 2 for tally in tallies)
    return sum(tally.iou for tally in tallies) / weight if weight else 0.0


def _measure_iou(rle: CocoRle, other: CocoRle) -> float:
    return float(mask_iou([rle], [other])[0, 0])
