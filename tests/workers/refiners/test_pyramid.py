"""Large images: halved, decided at the smallest size first, and no mask held whole."""

from __future__ import annotations

import numpy as np
import pytest
from support.drawn_errors import draw_true, paint

from bench.contours import measure_distance_px
from schemas.masks import BoolMask, CocoRle
from workers.refiners.edges import EdgeRefiner, refine_edges
from workers.refiners.pyramid import carry_changes, halve_image, halve_mask


def halve_slowly(mask: BoolMask) -> BoolMask:
    """Odd ends are doubled."""
    rows, columns = (range(0, side, 2) for side in mask.shape)
    even = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return np.array([[even[y : y + 2, x : x + 2].sum() >= 2 for x in columns] for y in rows])


@pytest.mark.parametrize("size_hw", [(7, 9), (8, 12), (1, 5), (2, 1)])
@pytest.mark.parametrize("strip_px", [1, 2, 1000])
def test_masks_are_halved(size_hw: tuple[int, int], strip_px: int) -> None:
    rng = np.random.default_rng(5)
    for share in (0.1, 0.5, 0.9, 1.0):
        mask = rng.random(size_hw) < share
        mask[-1, -1] = True
        half = halve_mask(CocoRle.from_mask(mask), strip_px)
        assert half == CocoRle.from_mask(halve_slowly(mask))
        image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 200
        assert halve_image(image).shape[:2] == half.size_hw


@pytest.mark.parametrize("strip_px", [1, 2, 1000])
def test_what_has_changed_at_half_the_size_changes_alone(strip_px: int) -> None:
    mask = np.zeros((7, 11), np.bool_)
    mask[1:4, 2:5] = True
    mask[5, 9] = True  # too fine for the half
    before = halve_slowly(mask)
    after = before.copy()
    after[0, 0], after[1, 1] = True, False
    expected = mask.copy()
    expected[:2, :2] = True
    expected[2:4, 2:4] = False
    carried = carry_changes(*(CocoRle.from_mask(each) for each in (mask, before, after)), strip_px)
    assert carried == CocoRle.from_mask(expected)


def make_coarse(scale: int) -> CocoRle:
    """The disk as a model of few pixels sees it, in steps of one of its pixels."""
    return CocoRle.from_mask(draw_true().repeat(scale, axis=0).repeat(scale, axis=1))


def refine(scale: int) -> tuple[float, float]:
    """Of an image so many times as large: distances of contours in pixels, before and after."""
    true = draw_true(scale)
    given, wanted = make_coarse(scale), CocoRle.from_mask(true)
    (refined,) = EdgeRefiner().open_image(paint(true)).refine([given])
    return measure_distance_px(given, wanted), measure_distance_px(refined, wanted)


def test_borders_of_large_images_are_as_good_as_those_of_small_ones() -> None:
    before, after = refine(6)  # 960 pixels
    assert before > 2
    assert after < 0.1
    before, after = refine(24)
    assert before > 8
    assert after < 0.4


def test_a_narrow_band_alone_would_not_find_them() -> None:
    image, given = paint(draw_true(24)), make_coarse(24)
    narrow = refine_edges(image, given)
    assert measure_distance_px(narrow, CocoRle.from_mask(draw_true(24))) > 2


def test_grain_of_large_images_leaves_borders_clean() -> None:
    true, given = draw_true(12), make_coarse(12)
    grain = np.random.default_rng(0).integers(-60, 61, (*true.shape, 3), np.int16)
    image = (grain + np.where(true[..., None], 143, 113)).astype(np.uint8)
    (refined,) = EdgeRefiner().open_image(image).refine([given])
    wanted = CocoRle.from_mask(true)
    assert measure_distance_px(given, wanted) > 4
    assert measure_distance_px(refined, wanted) < 1


def test_what_is_left_alone_from_afar_is_left_alone() -> None:
    given = make_coarse(16)
    grey = np.full((*given.size_hw, 3), 128, np.uint8)
    assert EdgeRefiner().open_image(grey).refine([given]) == [given]
    dust = np.zeros((40, 1100), np.bool_)
    dust[20, 200] = True
    rle = CocoRle.from_mask(dust)
    assert EdgeRefiner().open_image(paint(dust)).refine([rle]) == [rle]
