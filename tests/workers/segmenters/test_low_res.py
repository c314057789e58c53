"""Masks measured by their low-resolution logits against masks whose size is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.segmenters.low_res import LowResMeter, Thresholds


def meter(crop_hw: tuple[int, int], *places_xy: tuple[float, float]) -> LowResMeter:
    return LowResMeter(crop_hw, 16, Thresholds(mask=0.0, offset=1.0), np.array(places_xy))


@pytest.mark.parametrize("rows", [8, 9, 16])
def test_what_lies_beside_the_crop_does_not_count(rows: int) -> None:
    logits = torch.full((1, rows, 16), 5.0)
    masks = meter((32, 64), (0.0, 0.0), (63.9, 31.9), (64.0, 32.0)).measure(logits)
    assert masks.areas_px.tolist() == [32 * 64]
    assert masks.stability.tolist() == [1.0]
    assert masks.inside.tolist() == [[True, True, True]]


def test_masks_are_measured_each_on_its_own() -> None:
    logits = torch.full((3, 16, 16), -5.0)
    logits[0, 2:4, 8:12] = 5.0
    logits[1, 2:4, 8:12] = 0.5
    masks = meter((64, 64), (8 * 4 + 1, 2 * 4 + 1), (2 * 4 + 1, 8 * 4 + 1)).measure(logits)
    assert masks.areas_px.tolist() == [8 * 16, 8 * 16, 0]
    assert masks.stability.tolist() == [1.0, 0.0, 0.0]
    assert masks.inside.tolist() == [[True, False], [True, False], [False, False]]
    both = masks.add(masks.take(np.array([False, True, False])))
    assert both.areas_px.tolist() == [128, 128, 0, 128]
    assert len(both) == 4
    assert both.take(np.array([3, 2])).areas_px.tolist() == [128, 0]


def test_of_many_logits_every_other_is_looked_at() -> None:
    fine = LowResMeter((224, 224), 224, Thresholds(0.0, 1.0), np.array([[100.0, 50.0], [9.0, 9.0]]))
    logits = torch.full((1, 224, 224), -5.0)
    logits[0, 40:60, 90:120] = 5.0
    masks = fine.measure(logits)
    assert masks.areas_px.tolist() == [20 * 30]
    assert masks.inside.tolist() == [[True, False]]
