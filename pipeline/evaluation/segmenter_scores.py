"""Scores what segmenters find in images against ground truth, whatever it is they know."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.masks.average_precision import AveragePrecision
from pipeline.evaluation.masks.detections import UNKNOWN_CLASS, FoundMask, ImageMasks, TrueMask
from pipeline.evaluation.masks.overlaps import measure_overlaps
from pipeline.evaluation.matching import MATCH_IOU, must_be_found
from schemas.coco import CocoAnnotation, CocoImage, CocoTruth
from schemas.masks import ObjectMask
from schemas.overlaps import Overlaps, mask_iou


@dataclass(frozen=True, slots=True)
class SegmenterScores:
    """`ap`: COCO's, the mean over IoUs of 0.5 to 0.95 and, of a segmenter that knows classes, over
    these; `ap_unlabelled`: of masks alone, whatever they are called. Of objects that must be found:
    `object_recall_50`, those with a mask of an IoU of 0.5 or more; `mean_iou` of the best masks of
    these; `class_accuracy`, those of these of which that mask has the right class. None where there
    are no classes, no objects, or none was found. `masks` and `seconds` are of an image.
    """

    ap: float | None
    ap_unlabelled: float | None
    object_recall_50: float | None
    mean_iou: float | None
    class_accuracy: float | None
    masks: float
    seconds: float


Finder = Callable[[CocoImage, Sequence[CocoAnnotation]], tuple[list[ObjectMask], float]]
"""Gives the masks of an image, and how many seconds they took."""


def score_segmenter(
    truth: CocoTruth, find: Finder, class_of: Mapping[Hashable, str]
) -> SegmenterScores:
    """All figures; `class_of` gives the class of each category.

    A segmenter knows classes if any of its masks is called as one of them.
    """
    tally = _Tally(class_of)
    annotations_of: dict[Hashable, list[CocoAnnotation]] = {image.id: [] for image in truth.images}
    for annotation in truth.annotations:
        annotations_of[annotation.image_id].append(annotation)
    for image in truth.images:
        masks, seconds = find(image, annotations_of[image.id])
        tally.add(image, annotations_of[image.id], masks)
        tally.seconds += seconds
    return tally.sum_up()


class _Tally:
    """What is known of the masks of all images."""

    def __init__(self, class_of: Mapping[Hashable, str]) -> None:
        self._class_of = class_of
        self._numbers = {name: n for n, name in enumerate(dict.fromkeys(class_of.values()))}
        self._by_class = AveragePrecision()
        self._any_class = AveragePrecision(by_class=False)
        self._images = self._masks = 0
        self._knows = False
        self.ious: list[float] = []
        self.right: list[bool] = []
        self.seconds = 0.0

    def add(
        self, image: CocoImage, annotations: Sequence[CocoAnnotation], masks: Sequence[ObjectMask]
    ) -> None:
        labels = [self._class_of[annotation.category_id] for annotation in annotations]
        rles = [annotation.to_rle(image.size_hw) for annotation in annotations]
        compared = ImageMasks.of(
            image.size_hw,
            [
                TrueMask(rle, self._numbers[label], float(annotation.area or rle.area_px))
                for annotation, rle, label in zip(annotations, rles, labels, strict=True)
            ],
            [FoundMask(mask.rle, self._number(mask), mask.sureness) for mask in masks],
        )
        overlaps = measure_overlaps(compared)
        self._by_class.add(compared, overlaps)
        self._any_class.add(compared, overlaps)
        self._images += 1
        self._masks += len(masks)
        self._knows |= any(mask.category != UNKNOWN_CLASS for mask in compared.found)
        iou = mask_iou([mask.rle for mask in masks], rles)
        for column, annotation in enumerate(annotations):
            if must_be_found(annotation, image):
                self._add_object(iou[:, column], masks, labels[column])

    def _number(self, mask: ObjectMask) -> int:
        return self._numbers.get(mask.segmenter_label or "", UNKNOWN_CLASS)

    def _add_object(self, iou: Overlaps, masks: Sequence[ObjectMask], label: str) -> None:
        self.ious.append(float(iou.max(initial=0.0)))
        if self.ious[-1] >= MATCH_IOU:
            self.right.append(masks[int(iou.argmax())].segmenter_label == label)

    def sum_up(self) -> SegmenterScores:
        matched = [iou for iou in self.ious if iou >= MATCH_IOU]
        images = max(self._images, 1)
        return SegmenterScores(
            ap=self._by_class.measure().ap["all"] if self._knows else None,
            ap_unlabelled=self._any_class.measure().ap["all"],
            object_recall_50=len(matched) / len(self.ious) if self.ious else None,
            mean_iou=float(np.mean(matched)) if matched else None,
            class_accuracy=float(np.mean(self.right)) if self._knows and self.right else None,
            masks=self._masks / images,
            seconds=self.seconds / images,
        )
