"""Measures masks that are found by texts, and segments of every pixel, against ground truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from pipeline.evaluation.matching import MATCH_IOU, must_be_found
from pipeline.evaluation.panoptic_quality import PanopticQuality, Segment
from schemas.coco import CocoAnnotation, CocoId, CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.overlaps import mask_iou
from schemas.records import Float32Matrix
from workers.labelling.labeller import Labeller
from workers.labelling.panoptic import label_segments
from workers.labelling.text_match import TextMatcher

_ABSENT_SEED = 0


@dataclass(frozen=True, slots=True)
class SegmentationScores:
    """How well texts and labels segment images.

    `text_right`: of texts for what is there and must be found, those whose surest mask has an IoU
    of 0.5 or more with such an object; `text_iou`: the mean IoU of the surest masks that are
    returned for them; `text_absent`: of as many labels that are not in the image, those for which
    something is returned. `pq_...`: panoptic quality of all segments together, by concept, by group
    of concepts, and whatever they are called; `pq_concepts_mean` the mean over concepts.
    """

    images: int
    texts: int
    text_right: float
    text_iou: float
    text_absent: float
    pq_concepts: float
    pq_groups: float
    pq_unlabelled: float
    pq_concepts_mean: float


class SegmentationModels(Protocol):
    """The parts of segmenting that are measured."""

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """All masks of an image."""
        ...

    def embed(self, image: UInt8Image, masks: Sequence[ObjectMask]) -> Float32Matrix:
        """Their unit vectors: float32 (len(masks), dim)."""
        ...

    def build_matcher(self, text: str) -> TextMatcher:
        """What finds masks of a text."""
        ...


class _Scores:
    """Adds up what images give; `names` are the labels that may be absent."""

    def __init__(self, names: Sequence[str], group_of: Mapping[str, int]) -> None:
        self._names, self._group_of = names, group_of
        self._random = np.random.default_rng(_ABSENT_SEED)
        self.right: list[bool] = []
        self.ious: list[float] = []
        self.absent: list[bool] = []
        self.concepts, self.groups = PanopticQuality(), PanopticQuality()
        self.unlabelled = PanopticQuality()

    def add_texts(
        self,
        find: Callable[[str], list[ObjectMask]],
        annotations: Sequence[tuple[str, CocoAnnotation]],
        image: CocoImage,
    ) -> None:
        """Ask for each label that must be found, and for as many that are not there."""
        there = {name for name, _ in annotations}
        wanted = sorted({name for name, item in annotations if must_be_found(item, image)})
        others = [name for name in self._names if name not in there]
        for name in wanted:
            true = [item.to_rle(image.size_hw) for other, item in annotations if other == name]
            found = find(name)
            iou = float(mask_iou([found[0].rle], true).max()) if found else 0.0
            self.right.append(iou >= MATCH_IOU)
            if found:
                self.ious.append(iou)
        for name in self._random.permutation(others)[: len(wanted)].tolist():
            self.absent.append(bool(find(name)))

    def add_segments(
        self,
        segments: Sequence[ObjectMask],
        annotations: Sequence[tuple[str, CocoAnnotation]],
        image: CocoImage,
    ) -> None:
        """Compare the segments of an image with the true ones."""
        found = [(mask.segmenter_label or "", mask.rle) for mask in segments]
        true = [(name, item.to_rle(image.size_hw)) for name, item in annotations]
        kinds: tuple[tuple[PanopticQuality, Callable[[str], Hashable]], ...] = (
            (self.concepts, str),
            (self.groups, self._group_of.__getitem__),
            (self.unlabelled, lambda name: None),
        )
        for quality, kind_of in kinds:
            each, wanted = (
                [Segment(rle, kind_of(name)) for name, rle in side] for side in (found, true)
            )
            quality.add(each, wanted)


def score_segmentation(
    truth: CocoTruth,
    read: Callable[[CocoImage], UInt8Image],
    models: SegmentationModels,
    labeller: Labeller,
    group_of: Mapping[str, int],
    on_image: Callable[[], None] = lambda: None,
) -> SegmentationScores:
    """Scores over all images of a truth, whose categories are labels of the list of `labeller`.

    `group_of` has the group of each of these. `on_image` is called after each image.
    """
    names = {category.id: category.name for category in truth.categories}
    of_image: dict[CocoId, list[tuple[str, CocoAnnotation]]] = defaultdict(list)
    for annotation in truth.annotations:
        of_image[annotation.image_id].append((names[annotation.category_id], annotation))
    scores = _Scores([entry.name for entry in labeller.entries], group_of)
    for image in truth.images:
        pixels = read(image)
        masks = models.find(pixels)
        vectors = models.embed(pixels, masks)
        find = partial(_find_text, models, masks, vectors)
        scores.add_texts(find, of_image[image.id], image)
        segments = label_segments(masks, vectors, labeller)
        scores.add_segments(segments, of_image[image.id], image)
        on_image()
    return _sum_up(scores, len(truth.images))


def _find_text(
    models: SegmentationModels, masks: list[ObjectMask], vectors: Float32Matrix, text: str
) -> list[ObjectMask]:
    return models.build_matcher(text).find(masks, vectors)


def _sum_up(scores: _Scores, images: int) -> SegmentationScores:
    return SegmentationScores(
        images=images,
        texts=len(scores.right),
        text_right=_mean(scores.right),
        text_iou=_mean(scores.ious),
        text_absent=_mean(scores.absent),
        pq_concepts=scores.concepts.pooled.pq,
        pq_groups=scores.groups.pooled.pq,
        pq_unlabelled=scores.unlabelled.pooled.pq,
        pq_concepts_mean=scores.concepts.mean.pq,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
