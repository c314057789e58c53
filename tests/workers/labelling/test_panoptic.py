"""Every pixel to one mask at most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.object_masks import object_mask

from schemas.labels import LabelEntry
from schemas.masks import ObjectMask
from schemas.options import LabelOptions
from workers.labelling.labeller import Labeller
from workers.labelling.panoptic import label_segments, part_masks


def square(left: int, right: int, iou: float = 0.9) -> ObjectMask:
    mask = np.zeros((10, 20), np.bool_)
    mask[:, left:right] = True
    return replace(object_mask(mask), predicted_iou=iou)


def test_the_surest_comes_first_and_others_get_what_is_free() -> None:
    first, second = part_masks([square(0, 10), square(6, 20)], [0.5, 0.9])
    assert first.bbox_xyxy == (6, 0, 20, 10)
    assert (second.bbox_xyxy, second.area_px) == ((0, 0, 6, 10), 60)
    assert second.rle.area_px == 60
    assert not (first.rle.decode() & second.rle.decode()).any()


def test_one_with_less_than_six_tenths_free_is_left_out() -> None:
    assert len(part_masks([square(0, 10), square(5, 15)], [0.9, 0.5])) == 1
    assert len(part_masks([square(0, 10), square(6, 16)], [0.9, 0.5])) == 2
    assert part_masks([], []) == []


def test_segments_have_their_nearest_label_and_the_unsure_are_void() -> None:
    entries = (LabelEntry("cat"), LabelEntry("dog"))
    labeller = Labeller(
        entries, np.eye(2, dtype=np.float32), LabelOptions(top_k=1, min_score=0.0), "clip_demo"
    )
    # Nearer to neither: each label has a share of 0.5.
    between = np.full(2, 0.5**0.5)
    vectors = np.array([[0, 1], between, between], np.float32)
    masks = [square(0, 5, 0.3), square(5, 10, 0.2), square(10, 20, 0.4)]
    segments = label_segments(masks, vectors, labeller)
    assert [(each.bbox_xyxy[0], each.segmenter_label) for each in segments] == [
        (0, "dog"),  # 0.3 and 1
        (10, "cat"),  # 0.4 and 0.5; 0.2 and 0.5 is less than 0.8
    ]
    assert segments[1].segmenter_score == 0.5
