"""Which of the masks that a segmenter finds stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.masks.selection import drop_overlaps

SIDE = 64


@dataclass(frozen=True)
class Stacked:
    """Three masks of every point: a square, the square on a stalk, and what lies beside them."""

    predicted_iou: np.ndarray
    mask_tokens: ClassVar[np.ndarray | None] = None

    def logits(self, chosen: np.ndarray, levels: Levels | None = None) -> Tensor:
        shapes = torch.full((3, SIDE, SIDE), -10.0)
        shapes[:2, 0:40, 0:40] = shapes[1, 40:60, 10:12] = shapes[2, 44:, 20:] = 10
        return torch.cat([shapes[row] for row in torch.from_numpy(chosen)])


@dataclass(frozen=True)
class Shapes:
    """A prompter that sees the same everywhere. `scores` are the predicted IoUs."""

    scores: tuple[float, ...]
    device: ClassVar = torch.device("cpu")
    stretches: ClassVar = False
    frame_side: int = SIDE
    low_side: int = SIDE
    mask_threshold: float = 0.0

    def encode(self, images: Sequence[UInt8Image]) -> list[Shapes]:
        return [self] * len(images)

    def guess(self, points_xy: np.ndarray) -> Stacked:
        return Stacked(np.array([self.scores], np.float32).repeat(len(points_xy), axis=0))


def test_masks_of_more_pixels_than_32_bits_count() -> None:
    side = 24_000
    options = SegmenterOptions(
        device="cpu", points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0,
        box_nms_thresh=1, mask_nms_thresh=1, max_area_frac=1,
    )  # fmt: skip
    segmenter = GridSegmenter(Shapes((0.9, 0.8, 0.7)), weights_sha256="0" * SIDE, options=options)
    masks = segmenter.segment([np.zeros((side, side, 3), np.uint8)])[0]
    assert 3 * 2 * 2 * side**2 > 2**31
    assert len(masks) == 3
    square = next(mask for mask in masks if mask.predicted_iou == np.float32(0.9))
    assert square.bbox_xyxy == (0, 0, 15_000, 15_000)
    assert square.area_px == pytest.approx(15_000**2, rel=1e-3)


SQUARE, STALK, BESIDE = (0, 0, 40, 40), (0, 0, 40, 60), (20, 44, SIDE, SIDE)


def stacked_boxes(*scores: float, **changes: Any) -> list[tuple[int, ...]]:
    """Boxes of what is found where the three masks of every point have these predicted IoUs."""
    given = {"points_per_side": 2, "pred_iou_thresh": 0, "stability_score_thresh": 0}
    options = SegmenterOptions(device="cpu", **{"max_area_frac": 1, **given, **changes})
    segmenter = GridSegmenter(Shapes(scores), weights_sha256="0" * SIDE, options=options)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    return [mask.bbox_xyxy for mask in segmenter.segment([image])[0]]


def test_of_masks_that_overlap_the_surest_stays() -> None:
    assert stacked_boxes(0.8, 0.9, 0.7) == [STALK, SQUARE, BESIDE]
    assert stacked_boxes(0.8, 0.9, 0.7, mask_nms_thresh=0.9) == [STALK, BESIDE]
    assert stacked_boxes(0.8, 0.9, 0.7, mask_nms_thresh=0.99) == [STALK, SQUARE, BESIDE]


def test_parts_go_with_a_whole_that_is_as_sure() -> None:
    assert stacked_boxes(0.8, 0.9, 0.7, part_thresh=0.99) == [STALK, BESIDE]
    assert stacked_boxes(0.9, 0.9, 0.7, part_thresh=0.99) == [STALK, BESIDE]
    assert stacked_boxes(0.9, 0.8, 0.7, part_thresh=0.99) == [STALK, SQUARE, BESIDE]
    # BESIDE shares no pixel with the stalk.
    assert stacked_boxes(0.8, 0.9, 0.7, part_thresh=0.0) == [STALK, BESIDE]


def test_of_wholes_and_parts_wholes_alone_may_be_wanted() -> None:
    # However sure a part is.
    assert stacked_boxes(0.9, 0.8, 0.7) == [STALK, SQUARE, BESIDE]
    assert stacked_boxes(0.9, 0.8, 0.7, levels="wholes") == [STALK, BESIDE]
    # Nothing holds the square where the stalk is too large to be wanted.
    changes = {"levels": "wholes", "max_area_frac": 0.4}
    assert stacked_boxes(0.8, 0.9, 0.7, **changes) == [SQUARE, BESIDE]


def test_of_masks_that_overlap_one_that_others_agree_with_stays() -> None:
    def square(side: int, predicted_iou: float) -> ObjectMask:
        mask = np.zeros((SIDE, SIDE), bool)
        mask[:side, :side] = True
        found = ObjectMask.measure(
            CocoRle.from_mask(mask), predicted_iou=predicted_iou, stability_score=1, point_xy=(0, 0)
        )
        assert found is not None
        return found

    odd, agreed, also = square(54, 0.85), square(48, 0.8), square(47, 0.75)
    assert drop_overlaps([odd, agreed, also], 0.7) == [agreed]
    assert drop_overlaps([odd, agreed], 0.7) == [odd]  # neither has more agreement
    assert drop_overlaps([also, odd, agreed], 1.0) == [odd, agreed, also]
    assert drop_overlaps([], 0.7) == []
