"""Clicks of a simulated user, and the scores of a segmenter whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.evaluation.clicks import Click, correct, find_largest_error
from pipeline.evaluation.prompts import PromptScore, score_prompts
from pipeline.evaluation.shares import wilson_interval
from schemas.boxes import BoxXyxy
from schemas.coco import CocoAnnotation, CocoCategory, CocoImage, CocoTruth
from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.refiners.innermost import find_innermost
from workers.segmenter_protocols import Float32Logits, PromptedMask

HW = (60, 80)


def box_mask(x0: int, y0: int, x1: int, y1: int) -> BoolMask:
    mask = np.zeros(HW, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_innermost_pixel_is_as_far_as_any_from_what_is_outside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((12, 17)) < 0.8
        mask[:, rng.integers(17) :] &= rng.random() < 0.5
        mask[3, 4] = True
        outside = np.argwhere(~np.pad(mask, 1)) - 1
        inside = np.argwhere(mask)
        squares = ((inside[:, None] - outside) ** 2).sum(axis=2).min(axis=1)
        row, column = inside[squares.argmax()]  # the first of equals, row by row
        assert find_innermost(mask) == (column + 0.5, row + 0.5)


def test_the_images_edge_is_an_edge_of_a_mask() -> None:
    assert find_innermost(np.ones((5, 9), np.bool_)) == (2.5, 2.5)
    with pytest.raises(ValueError, match="empty mask"):
        find_innermost(np.zeros((5, 9), np.bool_))


def test_the_largest_error_is_one_region() -> None:
    truth = box_mask(10, 10, 40, 40)
    # 7 x 7 too much; missing: two regions of 30 px that touch at a corner only.
    mask = truth | box_mask(50, 10, 57, 17)
    mask &= ~box_mask(10, 10, 16, 15) & ~box_mask(16, 15, 22, 20)
    region = find_largest_error(mask, truth)
    assert region is not None
    np.testing.assert_array_equal(region[0], box_mask(50, 10, 57, 17))
    assert correct(mask, truth) == Click((53.5, 13.5), on_object=False)
    assert correct(mask & truth, truth) in [
        Click((x, y), on_object=True) for x in (12.5, 13.5) for y in (12.5,)
    ]
    assert correct(truth, truth) is None


def test_intervals_are_wilsons() -> None:
    # As published for 81 of 263 by R. G. Newcombe (1998).
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    score = PromptScore.of([0.5, 0.79, 0.8, 1.0])
    assert (score.objects, score.share_50, score.share_80) == (4, 1.0, 0.5)
    assert score.mean_iou == pytest.approx(0.7725)


@dataclass
class Answers:
    """Of a click half of the object, with each correction a quarter more; boxes filled."""

    asked: list[tuple[list[tuple[float, float]], list[int], BoxXyxy | None, float | None]] = field(
        default_factory=list
    )

    def open_image(self, image: UInt8Image) -> Answers:
        assert image.shape == (*HW, 3)
        return self

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        fed_back = None if mask_input is None else float(mask_input[0, 0])
        self.asked.append((list(points_xy), list(labels), box_xyxy, fed_back))
        count = len(points_xy)
        x0, y0, x1, y1 = map(int, box_xyxy or (10, 10, 10 + 10 * (count + 1), 30))
        rle = CocoRle.from_mask(box_mask(x0, y0, x1, y1))
        mask = ObjectMask.measure(rle, predicted_iou=1.0, stability_score=1.0)
        return PromptedMask(mask, np.full((4, 4), count, np.float32))


class Finder:
    name, fingerprint, notes = "finder", "", ()

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        rle = CocoRle.from_mask(box_mask(10, 10, 50, 28))
        mask = ObjectMask.measure(rle, predicted_iou=1.0, stability_score=1.0)
        assert mask is not None
        return [[mask] for _ in images]

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        raise AssertionError("no point is asked for")


def annotate(number: int, mask: BoolMask, visible: float) -> CocoAnnotation:
    rle = CocoRle.from_mask(mask)
    x0, y0, x1, y1 = rle.bbox_xyxy
    return CocoAnnotation(
        id=number,
        image_id=1,
        category_id=1,
        bbox=(x0, y0, x1 - x0, y1 - y0),
        area=rle.area_px,
        segmentation={"size": list(rle.size_hw), "counts": rle.counts},
        visible_fraction=visible,
    )


def test_answers_are_scored_by_their_overlap_with_the_truth() -> None:
    truth = CocoTruth(
        images=[CocoImage(id=1, file_name="a.png", width=HW[1], height=HW[0])],
        annotations=[
            annotate(1, box_mask(10, 10, 50, 30), 1.0),
            annotate(2, box_mask(60, 0, 80, 20), 0.3),  # hidden too far
        ],
        categories=[CocoCategory(id=1, name="box")],
    )
    answers, done = Answers(), []
    pixels = np.zeros((*HW, 3), np.uint8)
    scores = score_prompts(truth, lambda _: pixels, answers, Finder(), lambda: done.append(1))
    means = {name: score.mean_iou for name, score in scores.items()}
    assert means == pytest.approx(
        {
            "click": 0.5,
            "corrected_1": 0.75,
            "corrected_2": 1.0,
            "tight_box": 1.0,
            "tight_box_generated": 0.9,
            "box_25": 40 * 20 / (60 * 30),
            "box_25_generated": 0.9,
            "box_50": 40 * 20 / (70 * 40),
            "box_50_generated": 0.9,
        }
    )
    assert all(score.objects == 1 for score in scores.values())
    assert done == [1]
    clicked = [asked for asked in answers.asked if asked[2] is None]
    assert [labels for _, labels, _, _ in clicked] == [[1], [1, 1], [1, 1, 1]]
    assert [fed_back for *_, fed_back in clicked] == [None, 1.0, 2.0]
    # Each further click lies deepest in what the mask before has left out.
    assert clicked[-1][0] == [(19.5, 19.5), (39.5, 19.5), (44.5, 14.5)]
