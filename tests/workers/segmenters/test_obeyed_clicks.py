"""Refined masks obey the clicks that the mask before obeyed."""

from __future__ import annotations

import numpy as np

from schemas.masks import BoolMask, CocoRle, ObjectMask
from workers.segmenters.obeyed_clicks import REACH_PX, obey_clicks
from workers.segmenters.prompt import Prompt


def measure(pixels: BoolMask) -> ObjectMask:
    mask = ObjectMask.measure(CocoRle.from_mask(pixels), predicted_iou=0.9)
    assert mask is not None
    return mask


def make_band(left: int, right: int) -> BoolMask:
    pixels = np.zeros((60, 80), np.bool_)
    pixels[:, left:right] = True
    return pixels


def test_a_click_that_was_obeyed_is_obeyed() -> None:
    before, refined = make_band(20, 60), make_band(25, 65)
    on, beside = (22.0, 30.5), (62.0, 3.0)
    prompt = Prompt((on, beside, (40.0, 30.0)), (1, 0, 1), None, None)
    answer = obey_clicks(measure(refined), measure(before), prompt)
    pixels = answer.rle.decode()
    assert pixels[30, 22]
    assert not pixels[3, 62]
    assert answer.bbox_xyxy == (20, 0, 65, 60)
    assert answer.area_px == pixels.sum()
    rows, columns = np.mgrid[:60, :80]
    changed = pixels != refined
    near = np.zeros_like(refined)
    for x, y in (on, beside):
        near |= np.hypot(rows - int(y), columns - int(x)) <= REACH_PX
    np.testing.assert_array_equal(changed, near & (before != refined))


def test_other_clicks_change_nothing() -> None:
    before, refined = measure(make_band(20, 60)), measure(make_band(25, 65))
    for point, label in (((10.0, 5.0), 1), ((79.0, 59.0), 0), ((40.0, 0.0), 1), ((62.0, 9.0), 1)):
        assert obey_clicks(refined, before, Prompt((point,), (label,), None, None)) is refined
    assert obey_clicks(refined, before, Prompt((), (), (0, 0, 9, 9), None)) is refined
