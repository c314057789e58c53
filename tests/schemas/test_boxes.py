"""Boxes: what fits an image, what is cut to it, and what tells them apart."""

from __future__ import annotations

import pytest

from schemas.boxes import ImageBoxes, clip_box
from schemas.errors import DatasetError


def test_boxes_are_cut_to_their_image_and_sorted() -> None:
    boxes = ImageBoxes(((10, 5, 30, 20), (-3, 0, 8, 99), (10, 5, 30, 20)), (40, 20))
    assert boxes.clip_to((40, 20)) == [(0, 0, 8, 40), (10, 5, 20, 20)]
    with pytest.raises(
        DatasetError, match=r"expected an image of 40 x 20 pixels .* got one of 20 x 40"
    ):
        boxes.clip_to((20, 40))


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ((20, 0, 30, 9), "expected a box within 20 x 40 pixels, got x 20 to 30, y 0 to 9"),
        ((1, -9, 3, 0), "expected a box within 20 x 40 pixels"),
        ((5, 5, 5, 9), "expected a box with a width and a height, got x 5 to 5, y 5 to 9"),
        ((5, 9, 7, 5), "expected a box with a width and a height"),
        ((0, 0, float("nan"), 5), "expected a box of finite numbers, got x 0 to nan"),
        ((0, 0, float("inf"), 5), "expected a box of finite numbers"),
    ],
)
def test_a_box_that_lies_in_no_image_is_refused(
    box: tuple[float, float, float, float], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        clip_box(box, (40, 20))


def test_a_digest_is_of_the_boxes_in_any_order() -> None:
    boxes = (1.0, 2.0, 3.0, 4.0), (0.0, 0.0, 9.5, 9.5)
    assert (
        ImageBoxes(boxes).digest == ImageBoxes(boxes[::-1], (10, 10)).digest == "3f6262d11b857ac8"
    )
    assert ImageBoxes(boxes[:1]).digest != ImageBoxes(boxes).digest
    assert ImageBoxes(((1, 2, 3, 4),)).digest == ImageBoxes(boxes[:1]).digest
