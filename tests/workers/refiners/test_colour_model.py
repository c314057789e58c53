"""Log odds of colours, inside a mask against around it, by hand; and what they find."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.drawn_errors import draw_true

from schemas.images import UInt8Image
from schemas.masks import BoolMask, CocoRle
from workers.refiners.colour_model import find_bins, fit_colours
from workers.refiners.edges import BY_COLOURS, refine_edges

RED, BLUE, GREEN = (200, 40, 40), (40, 40, 200), (40, 200, 40)
NOWHERE = 1 / 4096


def weigh(image: UInt8Image, mask: BoolMask, *colours: tuple[int, int, int]) -> list[float]:
    odds = fit_colours(image, CocoRle.from_mask(mask))
    return [float(odds[find_bins(np.uint8(colour))]) for colour in colours]


def fill(mask: BoolMask) -> UInt8Image:
    return np.where(mask[..., None], RED, BLUE).astype(np.uint8)


def test_a_colour_speaks_for_where_it_is_and_one_that_is_nowhere_for_neither() -> None:
    mask = draw_true()
    found = weigh(fill(mask), mask, RED, BLUE, GREEN)
    sure = math.log((1 / 8 + NOWHERE) / NOWHERE)  # half of its own bin in each of three channels
    assert found == pytest.approx([sure, -sure, 0])
    beside, beyond = (208, 40, 40), (216, 40, 40)
    close = math.log((1 / 16 + NOWHERE) / NOWHERE)
    assert weigh(fill(mask), mask, beside, beyond) == pytest.approx([close, 0])


def test_shares_are_held_against_each_other_whatever_the_sizes() -> None:
    mask = draw_true()
    image = fill(mask)
    image[:, ::2] = BLUE  # also half of the mask
    shares = (1 / 8 + NOWHERE) / (1 / 16 + NOWHERE)
    assert weigh(image, mask, BLUE) == pytest.approx([-math.log(shares)], abs=0.02)


def test_what_is_near_the_border_or_far_away_is_not_around() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[40:60, 40:60] = True
    image = fill(mask)
    image[37:63, 37:63][~mask[37:63, 37:63]] = GREEN
    image[:14] = image[:, :14] = GREEN
    assert weigh(image, mask, GREEN) == [0]


def test_a_mask_with_nothing_around_it_says_nothing() -> None:
    mask = np.ones((20, 30), np.bool_)
    assert weigh(fill(mask), mask, RED, BLUE) == [0, 0]


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_part_goes_to_the_side_that_has_its_colour_elsewhere(is_missing: bool) -> None:
    box, knob = np.zeros((2, 120, 160), np.bool_)
    box[30:90, 50:110] = True
    knob[20:30, 60:70] = True
    true, given = (box | knob, box) if is_missing else (box, box | knob)
    image = fill(true)
    image[knob] = GREEN
    image[30:75, slice(70, 90) if is_missing else slice(115, 160)] = GREEN
    refined = refine_edges(image, CocoRle.from_mask(given), BY_COLOURS)
    assert refined == CocoRle.from_mask(true)
    near_alone = replace(BY_COLOURS, model_weight=0.0)
    assert refine_edges(image, CocoRle.from_mask(given), near_alone) == CocoRle.from_mask(given)
