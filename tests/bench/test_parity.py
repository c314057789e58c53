"""The measure by which benchmarks refuse to tell a speed."""

from __future__ import annotations

import numpy as np

from bench.parity import Parity, parity
from schemas.masks import CocoRle


def square(side: int, at: int = 0) -> CocoRle:
    mask = np.zeros((60, 60), bool)
    mask[at : at + side, at : at + side] = True
    return CocoRle.from_mask(mask)


def nearly(side: int) -> CocoRle:
    mask = square(side).decode()
    mask[0, 0] = False
    return CocoRle.from_mask(mask)


def test_equal_masks_are_identical_in_any_order_and_once() -> None:
    found = parity([square(20), square(30), square(20)], [square(30), square(20)])
    assert found == Parity(2, 2, 2, 2, 2)
    assert found.matched_share == found.identical_share == 1.0


def test_how_near_is_near_can_be_told() -> None:
    assert parity([square(20)], [square(19)]).matched_share == 0
    assert parity([square(20)], [square(19)], min_iou=0.9).matched_share == 1


def test_a_pixel_more_is_matched_and_not_identical() -> None:
    found = parity([square(30), square(20, 35)], [nearly(30), square(20, 35)])
    assert found == Parity(2, 2, 2, 2, 1)
    assert (found.matched_share, found.identical_share) == (1.0, 0.5)


def test_what_one_side_lacks_shows() -> None:
    assert parity([square(20)], []).matched_share == 0.0
    assert parity([], [square(20)]).identical_share == 0.0
    missed = parity([square(20), square(30)], [square(20)]) + parity([square(9)], [square(9)])
    assert missed == Parity(3, 2, 2, 2, 2)
    assert missed.matched_share == missed.identical_share == 2 / 3
    assert parity([], []).matched_share == parity([], []).identical_share == 1.0
