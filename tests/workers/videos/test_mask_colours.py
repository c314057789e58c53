"""The colours of masks, by which objects are known again."""

from __future__ import annotations

import numpy as np
import pytest
from support.drawn_tracks import SIZE_HW, draw_square

from workers.videos.colour_histograms import BINS
from workers.videos.mask_colours import measure_colours
from workers.videos.mask_patches import MaskPatch, cut_patch

RED, BLUE = (220, 20, 20), (20, 20, 220)


def test_colours_are_those_of_the_mask_alone() -> None:
    pixels = np.zeros((*SIZE_HW, 3), np.uint8)
    pixels[:20, :20], pixels[:20, 40:60], pixels[30:40] = RED, BLUE, RED
    # Of two colours, half each: the roots of the shares are alike by the root of a half.
    pixels[50:, :10], pixels[50:, 10:20] = RED, BLUE
    squares = [
        draw_square(0, 0, 20),
        draw_square(40, 0, 20),
        draw_square(7, 30),
        draw_square(5, 50),
    ]
    colours = measure_colours(pixels, [cut_patch(mask) for mask in squares])
    assert (colours.shape, colours.dtype) == ((4, BINS), np.float32)
    alike = colours @ colours.T
    assert np.diag(alike) == pytest.approx(1, abs=1e-6)
    assert alike[0, 2] == pytest.approx(1, abs=1e-6)
    assert alike[0, 1] < 0.1
    assert alike[0, 3] == pytest.approx(0.5**0.5, abs=0.05)


def test_of_large_masks_few_pixels_are_enough() -> None:
    rng = np.random.default_rng(0)
    pixels = np.where(rng.random((480, 640, 1)) < 0.7, RED, BLUE).astype(np.uint8)
    large, all_of_it = draw_square(100, 100, 300, (480, 640)), draw_square(0, 0, 640, (480, 640))
    one, other = measure_colours(pixels, [cut_patch(large), cut_patch(all_of_it)])
    assert one @ other == pytest.approx(1, abs=0.01)


def test_masks_without_a_pixel_have_no_colours() -> None:
    pixels = np.zeros((*SIZE_HW, 3), np.uint8)
    nothing = MaskPatch(np.zeros((0, 1), np.bool_), 3, 3, 2, 0)
    assert not measure_colours(pixels, [nothing]).any()
    assert measure_colours(pixels, []).shape == (0, BINS)
