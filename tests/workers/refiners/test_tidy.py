"""What is taken for dirt in masks: by share, by radius, the same in strips as in one."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.masks import BoolMask, CocoRle
from schemas.options import TidyOptions
from workers.refiners.tidy import TidyRefiner, tidy_mask

PLAIN = TidyOptions()


def draw_dirty() -> BoolMask:
    """A square of 1600 pixels with a hole of 9 and one of 100, islands of 15, 16 and 200."""
    mask = np.zeros((70, 90), np.bool_)
    mask[10:50, 10:50] = True
    mask[20:23, 20:23] = False
    mask[30:40, 30:40] = False
    mask[60:63, 5:10] = True
    mask[60:64, 20:24] = True
    mask[30:50, 60:70] = True
    return mask


def tidy(mask: BoolMask, options: TidyOptions) -> BoolMask:
    return tidy_mask(CocoRle.from_mask(mask), options).decode()


def test_holes_and_islands_go_by_their_share() -> None:
    mask = draw_dirty()  # of 1722 pixels, so that a hundredth is 17.2
    tidied = mask.copy()
    tidied[20:23, 20:23] = True
    tidied[60:] = False
    np.testing.assert_array_equal(tidy(mask, PLAIN), tidied)
    options = TidyOptions(max_hole_frac=0, max_island_frac=15.5 / 1722)
    tidied = mask.copy()
    tidied[60:63, 5:10] = False
    np.testing.assert_array_equal(tidy(mask, options), tidied)


def test_only_the_largest_part_may_stay() -> None:
    mask = draw_dirty()
    tidied = np.zeros_like(mask)
    tidied[10:50, 10:50] = mask[10:50, 10:50]
    options = TidyOptions(max_hole_frac=0, largest_only=True)
    np.testing.assert_array_equal(tidy(mask, options), tidied)


def test_what_is_around_a_mask_is_no_hole() -> None:
    mask = np.ones((100, 100), np.bool_)
    mask[40:45, 50:60] = False
    rle = CocoRle.from_mask(mask)
    assert tidy_mask(rle, PLAIN) == rle
    assert tidy_mask(CocoRle.from_mask(~mask), PLAIN) == CocoRle.from_mask(~mask)


def test_a_tidy_mask_stays_to_the_byte() -> None:
    mask = np.zeros((6, 9), np.bool_)
    mask[1:5, 2:7] = True
    for rle in (
        CocoRle.from_mask(mask),
        CocoRle.from_runs((6, 9), [13, 2, 0, 2, 2, 4, 2, 4, 2, 4, 2, 4, 13]),
        CocoRle.from_mask(np.ones((3, 4), np.bool_)),
        CocoRle.from_runs((3, 4), [0, 12, 0]),
    ):
        assert tidy_mask(rle, PLAIN) == rle
    assert TidyRefiner(PLAIN).refine([rle, rle]) == [rle, rle]


def take_majority_slowly(mask: BoolMask, radius: int) -> BoolMask:
    smooth = mask.copy()
    places = np.argwhere(np.ones_like(mask))
    for y, x in places:
        near = ((places - (y, x)) ** 2).sum(axis=1) <= radius**2
        inside = mask.ravel()[near].mean()
        smooth[y, x] = mask[y, x] if inside == 0.5 else inside > 0.5
    return smooth


@pytest.mark.parametrize("strip_px", [1, 7, 1000])
@pytest.mark.parametrize("radius", [1, 3])
def test_a_pixel_goes_to_the_side_of_most_around_it(radius: int, strip_px: int) -> None:
    rng = np.random.default_rng(radius)
    mask = np.zeros((21, 30), np.bool_)
    mask[5:, 6:20] = True
    mask ^= rng.random(mask.shape) < 0.15
    options = TidyOptions(smooth_px=radius, max_hole_frac=0, max_island_frac=0)
    smooth = tidy_mask(CocoRle.from_mask(mask), options, strip_px)
    assert smooth == CocoRle.from_mask(take_majority_slowly(mask, radius))
    assert smooth.decode().sum() != mask.sum()


def test_what_is_thinner_than_the_radius_stays() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[10] = True
    np.testing.assert_array_equal(tidy(mask, TidyOptions(smooth_px=5)), mask)


def test_options_are_in_the_fingerprint() -> None:
    prints = {
        TidyRefiner(TidyOptions.model_validate(options)).fingerprint
        for options in ({}, {"smooth_px": 2}, {"largest_only": True}, {"max_hole_frac": 0.1})
    }
    assert len(prints) == 4
