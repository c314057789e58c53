"""Masks obey the clicks that they answer."""

from __future__ import annotations

import numpy as np

from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.segmenters.obeyed_clicks import RADIUS_PX, obey_clicks
from workers.segmenters.prompt import Prompt


def measure(pixels: BoolMask) -> ObjectMask:
    mask = ObjectMask.measure(CocoRle.from_mask(pixels), predicted_iou=0.9)
    assert mask is not None
    return mask


def make_band(left: int, right: int) -> BoolMask:
    pixels = np.zeros((60, 80), np.bool_)
    pixels[:, left:right] = True
    return pixels


def click(*points: tuple[float, float, int]) -> Prompt:
    return Prompt(tuple((x, y) for x, y, _ in points), tuple(n for *_, n in points), None, None)


def test_a_click_that_is_not_obeyed_has_a_disk() -> None:
    pixels = make_band(20, 60)
    on, beside, corner = (10.0, 30.5), (40.9, 3.0), (79.0, 59.0)
    prompt = click((*on, 1), (*beside, 0), (*corner, 1), (50.0, 50.0, 1))
    answer = obey_clicks(measure(pixels), prompt)
    rows, columns = np.mgrid[:60, :80]
    for (x, y), inside in ((on, True), (beside, False), (corner, True)):
        pixels[np.hypot(rows - int(y), columns - int(x)) <= RADIUS_PX] = inside
    np.testing.assert_array_equal(answer.rle.decode(), pixels)
    assert answer.bbox_xyxy == (8, 0, 80, 60)
    assert answer.area_px == pixels.sum()
    assert answer.predicted_iou == 0.9


def test_what_obeys_or_would_be_nothing_stays() -> None:
    mask = measure(make_band(20, 60))
    assert obey_clicks(mask, click((30, 5, 1), (10, 5, 0))) is mask
    assert obey_clicks(mask, Prompt((), (), (0, 0, 9, 9), None)) is mask
    small = np.zeros((60, 80), np.bool_)
    small[30:32, 30:32] = True
    assert obey_clicks(measure(small), click((30, 30, 0))) == measure(small)


def test_what_obeyed_before_is_as_it_was_there() -> None:
    before, refined = make_band(20, 60), make_band(25, 60)
    answer = obey_clicks(measure(refined), click((22.0, 30.0, 1)), measure(before)).rle.decode()
    rows, columns = np.mgrid[:60, :80]
    near = np.hypot(rows - 30, columns - 22) <= RADIUS_PX
    np.testing.assert_array_equal(answer, np.where(near, before, refined))
