"""The part of an image that a small object is looked at in, and the logits of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.segmenters.prompt import Prompt
from workers.segmenters.prompt_zoom import Zoom, choose_square, find_bounds, is_near, resample

ZOOM = Zoom(of_box=2, of_mask=3, least=0.2, most=0.5)
HW = (480, 640)


def test_a_part_is_round_what_is_prompted_and_in_the_image() -> None:
    assert choose_square(ZOOM, (300, 200, 400, 250), HW, has_box=True) == (250, 125, 450, 325)
    assert choose_square(ZOOM, (300, 200, 400, 250), HW, has_box=False) == (200, 75, 500, 375)
    assert choose_square(ZOOM, (0, 0, 100, 50), HW, has_box=True) == (0, 0, 150, 125)
    # A fifth of the image at least; where it were more than half, the image will do.
    assert choose_square(ZOOM, (300, 200, 310, 210), HW, has_box=True) == (241, 141, 369, 269)
    assert choose_square(ZOOM, (300, 200, 461, 250), HW, has_box=True) is None


def test_a_part_serves_again_while_it_holds_the_object_at_a_like_size() -> None:
    part = (200, 75, 500, 375)
    bounds = (300.0, 200.0, 400.0, 250.0)
    wanted = choose_square(ZOOM, bounds, HW, has_box=False)
    assert wanted is not None
    assert is_near(part, bounds, wanted)
    assert is_near(part, bounds, (180, 55, 520, 395))
    assert not is_near(part, (190.0, 200.0, 290.0, 250.0), (90, 75, 390, 375))
    assert not is_near(part, bounds, (250, 125, 400, 275))
    # What the image itself cuts off is no reason.
    assert is_near((0, 0, 150, 125), (0.0, 0.0, 100.0, 50.0), (0, 0, 150, 125))


def test_bounds_are_in_pixels_of_the_image() -> None:
    mask = torch.zeros(10, 10, dtype=torch.bool)
    assert find_bounds(mask, (5, 7, 20)) is None
    mask[2:4, 6] = True
    assert find_bounds(mask, (5, 7, 20)) == (17, 11, 19, 15)


def test_logits_keep_their_place() -> None:
    whole, part = (0, 0, 80), (20, 10, 20)
    x = (torch.arange(40) + 0.5) * 2  # pixels of the image
    plane = x[None, :] + 3 * x[:, None]
    inner = resample(plane, whole, part)
    fine = (torch.arange(40) + 0.5) / 2
    wanted = (20 + fine)[None, :] + 3 * (10 + fine)[:, None]
    torch.testing.assert_close(inner, wanted, atol=1e-3, rtol=1e-4)
    back = resample(inner, part, whole, torch.full((40, 40), -9.0))
    inside = np.zeros((40, 40), bool)
    inside[5:15, 10:20] = True
    np.testing.assert_allclose(back[inside], plane[inside], atol=1e-3)
    assert (back[~inside] == -9).all()


def test_a_prompt_in_a_part_of_its_image() -> None:
    prompt = Prompt(((50, 60), (300, 10), (80, 70)), (1, 0, 0), (40, 50, 90, 100), None)
    inner = prompt.within((30, 40, 130, 140))
    assert inner.points_xy == ((20, 20), (50, 30))
    assert inner.labels == (1, 0)
    assert inner.box_xyxy == (10, 10, 60, 60)
    assert prompt.place() == (50, 60)
    assert prompt.include_points((60, 70, 70, 80)) == (50, 60, 70, 80)
    assert Prompt((), (), (40, 50, 90, 100), None).place() == (65, 75)
    assert Prompt(((1, 2),), (0,), None, None).place() is None


@pytest.mark.parametrize(
    ("labels", "box", "single"),
    [((1,), None, True), ((0,), None, False), ((1, 1), None, False), ((1,), (0, 0, 5, 5), False)],
)
def test_only_one_click_on_an_object_is_ambiguous(
    labels: tuple[int, ...], box: tuple[int, int, int, int] | None, single: bool
) -> None:
    assert Prompt(((1, 2),) * len(labels), labels, box, None).is_single_click is single
