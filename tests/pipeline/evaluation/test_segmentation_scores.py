"""Panoptic quality, and the scores of texts and of labels for every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.object_masks import object_mask

from pipeline.cli.eval_segmentation import ROWS
from pipeline.demo.groups import GROUPS, find_groups
from pipeline.evaluation.panoptic_quality import PanopticQuality, Segment
from pipeline.evaluation.segmentation import SegmentationScores, score_segmentation
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.labels import LabelEntry
from schemas.masks import CocoRle, ObjectMask
from schemas.options import LabelOptions
from schemas.records import Float32Matrix
from workers.labelling.labeller import Labeller, entries_of
from workers.labelling.text_match import TextMatcher

SIZE = (64, 640)
NAMES = ("cat", "dog", "owl", "fox")


def square(left: int, right: int) -> ObjectMask:
    mask = np.zeros(SIZE, np.bool_)
    mask[:, left:right] = True
    return replace(object_mask(mask), predicted_iou=0.9)


def segment(left: int, right: int, kind: str = "a") -> Segment:
    return Segment(square(left, right).rle, kind)


def test_the_truth_against_itself_is_1() -> None:
    quality = PanopticQuality()
    truth = [segment(0, 10), segment(10, 20, "b"), segment(30, 40)]
    quality.add(truth, truth)
    assert (quality.pooled.pq, quality.mean.pq) == (1.0, 1.0)


def test_quality_by_hand() -> None:
    quality = PanopticQuality()
    # a: one of IoU 0.8, one missed; b: one found that is not there; another class matches nothing.
    quality.add([segment(0, 8), segment(50, 60, "b")], [segment(0, 10), segment(20, 30)])
    assert quality.pooled.pq == pytest.approx(0.8 / (1 + 2 / 2))
    assert quality.mean.pq == pytest.approx((0.8 / 1.5 + 0) / 2)
    other = PanopticQuality()
    other.add([segment(0, 10, "b")], [segment(0, 10)])
    assert other.pooled.pq == 0
    half = PanopticQuality()
    half.add([segment(0, 5)], [segment(0, 10)])  # an IoU of 0.5 is no match
    assert (half.pooled.pq, PanopticQuality().pooled.pq) == (0, 0)


class Models:
    """Finds the first of the objects of the truth, and a half of the second."""

    def __init__(self, labeller: Labeller) -> None:
        self._labeller = labeller

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        return [square(0, 100), square(200, 250)]

    def embed(self, image: UInt8Image, masks: Sequence[ObjectMask]) -> Float32Matrix:
        return np.eye(4, dtype=np.float32)[: len(masks)]

    def build_matcher(self, text: str) -> TextMatcher:
        vector = np.eye(4, dtype=np.float32)[[NAMES.index(text)]]
        return TextMatcher((text,), vector, self._labeller)


def test_scores_of_texts_and_labels() -> None:
    labeller = Labeller(
        tuple(map(LabelEntry, NAMES)),
        np.eye(4, dtype=np.float32),
        LabelOptions(top_k=1, min_score=0.0),
        "some/other",
    )
    annotations = [
        annotate(1, 1, square(0, 100).rle),
        annotate(2, 2, square(200, 310).rle),
        annotate(3, 3, square(600, 610).rle),
    ]
    truth = CocoTruth(
        images=[CocoImage(id=1, file_name="x.png", width=640, height=64)],
        annotations=annotations,
        categories=[CocoCategory(id=number, name=name) for number, name in enumerate(NAMES, 1)],
    )
    groups = {"cat": 0, "dog": 0, "owl": 1, "fox": 1}
    scores = score_segmentation(
        truth, lambda image: np.zeros((64, 640, 3), np.uint8), Models(labeller), labeller, groups
    )
    # The cat is right, half a dog is not; nothing is found for the owl.
    assert (scores.images, scores.texts) == (1, 3)
    assert scores.text_right == pytest.approx(1 / 3)
    assert scores.text_iou == pytest.approx((1 + 50 / 110) / 2)
    assert scores.text_absent == 0
    assert scores.pq_concepts == pytest.approx(1 / (1 + 3 / 2))
    assert scores.pq_concepts_mean == pytest.approx(1 / 3)
    assert scores.pq_unlabelled == scores.pq_groups == scores.pq_concepts
    assert set(ROWS) <= {*SegmentationScores.__slots__}


def annotate(number: int, category: int, rle: CocoRle) -> CocoAnnotation:
    x0, y0, x1, y1 = rle.bbox_xyxy
    return CocoAnnotation(
        id=number,
        image_id=1,
        category_id=category,
        bbox=(x0, y0, x1 - x0, y1 - y0),
        segmentation={"size": list(rle.size_hw), "counts": rle.counts},
    )


def test_every_label_of_the_demo_has_a_group() -> None:
    entries = entries_of(LabelOptions(names="emoji"), "")
    assert entries is not None
    names = [entry.name for entry in entries]
    group_of = dict(zip(names, find_groups(names), strict=True))
    assert GROUPS[group_of["red apple"]] == "food and drink"
    assert GROUPS[group_of["gorilla"]] == "animals and nature"
    assert GROUPS[group_of["glasses"]] == "objects"
    assert [list(group_of.values()).count(group) for group in range(5)] == [59, 51, 82, 27, 91]
