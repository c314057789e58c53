"""An object with its masks of two runs: what is drawn where."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.drawing.mask_pair import PANEL_PX, draw_pair
from pipeline.drawing.outlines import dash_outline
from schemas.masks import CocoRle

SIZE_HW = (400, 600)
BLUE = (20, 40, 200)
IMAGE = np.full((*SIZE_HW, 3), BLUE, np.uint8)
TOP = 34


def rectangle(left: int, top: int, right: int, bottom: int) -> CocoRle:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[top:bottom, left:right] = True
    return CocoRle.from_mask(mask)


def look(sheet: Image.Image, run: int, x: float, y: float) -> tuple[int, ...]:
    """The colour at a share of the width and height of a run's panel."""
    place = round(x * PANEL_PX) + run * (PANEL_PX + 8), round(y * PANEL_PX) + TOP
    colour = sheet.getpixel(place)
    assert isinstance(colour, tuple)
    return colour


def test_each_run_has_its_own_mask_on_the_same_crop() -> None:
    true = rectangle(200, 100, 300, 200)
    sheet = draw_pair(IMAGE, true, (rectangle(200, 100, 250, 200), true), ("A: 0.50", "B: 1.00"))
    assert sheet.size == (2 * PANEL_PX + 8, PANEL_PX + TOP)
    # The crop is 160 pixels wide around the object: the first mask is its left half.
    assert look(sheet, 0, 0.35, 0.5) == BLUE
    assert look(sheet, 0, 0.65, 0.5) != BLUE
    assert look(sheet, 1, 0.35, 0.5) == BLUE
    assert look(sheet, 1, 0.65, 0.5) == BLUE
    edge = np.asarray(sheet)[TOP : TOP + PANEL_PX, :PANEL_PX]
    assert (edge[100:220, 255:264].max(axis=2) == 255).any()  # white dashes of the true one
    assert (edge[100:220, 255:264].max(axis=2) < 60).any()  # and black ones


def test_without_a_mask_or_an_image_the_truth_is_still_drawn() -> None:
    true = rectangle(0, 0, 40, 10)
    sheet = draw_pair(None, true, (None, rectangle(0, 0, 600, 400)), ("A: no mask", "B: 0.00"))
    # Masks that reach far are cut off: the object is seen.
    panel = np.asarray(sheet)[TOP:, :PANEL_PX]
    dark = np.flatnonzero((panel.max(axis=2) < 40).any(axis=0))
    assert 90 < dark.max() < 110  # 40 of 128 pixels
    # Its own ground, not dimmed, is inside of the second mask.
    assert look(sheet, 1, 0.9, 0.9) == (190, 190, 186)


def test_dashes_leave_the_inside_alone() -> None:
    picture = Image.new("RGB", (100, 100), BLUE)
    mask = np.zeros((50, 50), np.bool_)
    mask[10:40, 10:40] = True
    drawn = np.asarray(dash_outline(picture, mask))
    assert (drawn[25:75, 25:75] == BLUE).all()
    assert (drawn[:14] == BLUE).all()
    ring = drawn[15:85, 15:85]
    shades = {tuple(colour) for colour in ring.reshape(-1, 3)}
    assert {(0, 0, 0), (255, 255, 255)} <= shades
