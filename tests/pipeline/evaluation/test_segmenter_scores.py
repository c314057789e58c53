"""Figures of segmenters against truth whose figures can be told by hand."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pytest

from pipeline.evaluation.segmenter_scores import SegmenterScores, score_segmenter
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.masks import CocoRle, ObjectMask

CLASS_OF: dict[Hashable, str] = {1: "food", 2: "objects"}
BOXES = {1: ((0, 0, 40, 40), (50, 0, 90, 40)), 2: ((10, 10, 60, 60), (60, 60, 100, 100))}


def rle_of(box: tuple[int, int, int, int]) -> CocoRle:
    mask = np.zeros((100, 100), np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return CocoRle.from_mask(mask)


def make_truth() -> CocoTruth:
    """Two images, each with a thing to eat and then an object."""
    annotations = []
    for image, boxes in BOXES.items():
        for category, (x0, y0, x1, y1) in enumerate(boxes, start=1):
            rle = rle_of((x0, y0, x1, y1))
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1, image_id=image, category_id=category,
                    bbox=(x0, y0, x1 - x0, y1 - y0), area=(x1 - x0) * (y1 - y0),
                    segmentation={"size": [100, 100], "counts": rle.counts},
                )
            )  # fmt: skip
    images = [CocoImage(id=n, file_name=f"{n}.png", width=100, height=100) for n in BOXES]
    categories = [CocoCategory(id=1, name="grapes"), CocoCategory(id=2, name="glasses")]
    return CocoTruth(images=images, annotations=annotations, categories=categories)


def mask_of(box: tuple[int, int, int, int], label: str | None, score: float | None) -> ObjectMask:
    mask = ObjectMask.measure(rle_of(box), segmenter_label=label, segmenter_score=score)
    assert mask is not None
    return mask


def score(found: dict[int, list[ObjectMask]]) -> SegmenterScores:
    def find(
        image: CocoImage, annotations: Sequence[CocoAnnotation]
    ) -> tuple[list[ObjectMask], float]:
        assert [a.image_id for a in annotations] == [image.id] * 2
        assert isinstance(image.id, int)
        return found[image.id], 0.5

    return score_segmenter(make_truth(), find, CLASS_OF)


def test_what_is_all_right_scores_1() -> None:
    labels = [*CLASS_OF.values()]
    found = {
        n: [mask_of(box, label, 0.9) for box, label in zip(boxes, labels, strict=True)]
        for n, boxes in BOXES.items()
    }
    scores = score(found)
    assert scores == SegmenterScores(
        pytest.approx(1), pytest.approx(1), 1.0, 1.0, 1.0, masks=2.0, seconds=0.5
    )


def test_a_wrong_class_counts_against_classes_alone() -> None:
    found = {n: [mask_of(box, "food", 0.9) for box in boxes] for n, boxes in BOXES.items()}
    scores = score(found)
    assert scores.ap_unlabelled == pytest.approx(1)
    assert scores.class_accuracy == 0.5
    # Of food every second mask is right, at equal scores; of objects nothing is found.
    assert scores.ap is not None
    assert 0.2 < scores.ap < 0.5


def test_a_segmenter_without_classes_has_no_figures_of_them() -> None:
    half = (0, 0, 40, 24)
    scores = score({1: [mask_of(half, None, None)], 2: []})
    assert (scores.ap, scores.class_accuracy) == (None, None)
    assert scores.object_recall_50 == 0.25
    assert scores.mean_iou == pytest.approx(0.6)
    # Found at IoUs of 0.5 to 0.6 of ten, and then up to a recall of 0.25: 26 of 101 places.
    assert scores.ap_unlabelled == pytest.approx(26 / 101 * 3 / 10)


def test_masks_that_hit_nothing_score_0() -> None:
    scores = score({1: [mask_of((0, 90, 10, 100), "food", 1.0)], 2: []})
    assert (scores.ap, scores.ap_unlabelled, scores.object_recall_50) == (0, 0, 0)
    assert (scores.mean_iou, scores.class_accuracy, scores.masks) == (None, None, 0.5)


def test_nothing_found_is_no_error() -> None:
    scores = score({1: [], 2: []})
    assert (scores.ap, scores.ap_unlabelled, scores.masks) == (None, 0, 0)
