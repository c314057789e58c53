"""Where an object of a video is between the frames that were looked at."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.search.moving_mask import MovingMask, PlacedMask
from schemas.masks import CocoRle, ObjectMask
from schemas.videos import Sighting

SIZE_HW = (40, 60)


def mask_at(x: int, y: int = 10, side: int = 8) -> ObjectMask:
    pixels = np.zeros(SIZE_HW, np.bool_)
    pixels[y : y + side, x : x + side] = True
    mask = ObjectMask.measure(CocoRle.from_mask(pixels))
    assert mask is not None
    return mask


def sightings(*places: tuple[float, int]) -> list[Sighting]:
    return [Sighting(time_s, mask_at(x), 0.0) for time_s, x in places]


def box_of(placed: PlacedMask | None) -> tuple[int, int, int, int]:
    assert placed is not None
    return placed.to_rle().bbox_xyxy


def test_at_a_sighting_it_is_the_mask_itself() -> None:
    seen = sightings((0.0, 10), (0.5, 20), (1.0, 40))
    moving = MovingMask(seen[::-1])
    for each in seen:
        placed = moving.at(each.time_s)
        assert placed == PlacedMask(each.mask)
        assert placed.to_rle() is each.mask.rle


@pytest.mark.parametrize(("time_s", "x"), [(0.1, 12), (0.2, 14), (0.3, 16), (0.45, 19), (0.75, 30)])
def test_between_two_it_is_on_the_straight_way(time_s: float, x: int) -> None:
    moving = MovingMask(sightings((0.0, 10), (0.5, 20), (1.0, 40)))
    assert box_of(moving.at(time_s)) == (x, 10, x + 8, 18)


def test_the_shape_is_that_of_the_nearer_one() -> None:
    small, large = mask_at(10, 10, side=4), mask_at(30, 10, side=12)
    moving = MovingMask([Sighting(0.0, small, 0.0), Sighting(1.0, large, 0.0)])
    sizes = [box_of(moving.at(time_s)) for time_s in (0.4, 0.6)]
    assert [x1 - x0 for x0, _, x1, _ in sizes] == [4, 12]


def test_outside_of_its_time_it_is_held_for_as_long_as_wanted() -> None:
    moving = MovingMask(sightings((1.0, 10), (1.5, 20)))
    assert moving.at(0.9) is moving.at(1.6) is None
    assert box_of(moving.at(1.5 + 1e-6))[0] == 20
    assert box_of(moving.at(0.9, hold_s=0.25))[0] == 10
    assert box_of(moving.at(1.7, hold_s=0.25))[0] == 20
    assert moving.at(1.8, hold_s=0.25) is None


def test_who_is_not_seen_for_long_is_hidden() -> None:
    seen = sightings((0.0, 10), (1.0, 20), (3.0, 40))
    moving = MovingMask(seen, step_s=0.5)
    # One frame without it: it was not found there.
    assert box_of(moving.at(0.5))[0] in (15, 16)
    assert box_of(moving.at(1.2)) == (20, 10, 28, 18)
    assert moving.at(1.5) is moving.at(2.5) is None
    assert box_of(moving.at(2.8)) == (40, 10, 48, 18)
    assert MovingMask(seen).at(2.0) is not None


def test_what_moves_out_of_the_picture_is_cut_off() -> None:
    placed = PlacedMask(mask_at(50), (6.0, -14.0))
    rle = placed.to_rle()
    assert rle.size_hw == SIZE_HW
    assert rle.bbox_xyxy == (56, 0, 60, 4)
    assert PlacedMask(mask_at(50), (500.0, 0.0)).to_rle().area_px == 0
    assert PlacedMask(mask_at(50), (0.0, -500.0)).to_rle().area_px == 0


def test_boxes_cover_where_it_was() -> None:
    moving = MovingMask(sightings((0.0, 10), (0.5, 20), (1.0, 40)))
    assert moving.find_box(0.0, 0.5) == (10, 10, 28, 18)
    assert moving.find_box(0.5, 9.0) == (20, 10, 48, 18)
    assert moving.find_box(0.1, 0.4) is None
    assert MovingMask(()).at(0.0) is None
