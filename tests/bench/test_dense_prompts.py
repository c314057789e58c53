"""Answers for every point of a drawn scene: all pass, and the masks are the scene's objects."""

from __future__ import annotations

import numpy as np
import torch

from bench.dense_prompts import DrawnScene, draw_dense_bank


def test_every_point_is_answered_with_what_is_there() -> None:
    left, right = np.zeros((2, 96, 128), bool)
    left[20:80, 10:60], right[30:70, 80:120] = True, True
    scene = DrawnScene(np.zeros((96, 128, 3), np.uint8), [left, right])
    bank = draw_dense_bank(scene, 8, seed=0)
    assert bank.logits.shape == (64, 3, 256, 256)
    assert (bank.predicted_iou[:, 1] > 0.88).all()
    ticks = (np.arange(8) + 0.5) / 8
    inside = bank.logits > 0
    scale = 2  # low-resolution pixels to one of the image
    for row, (y, x) in enumerate((y, x) for y in ticks for x in ticks):
        at = int(y * 96), int(x * 128)
        whole = inside[row, 1, : 96 * scale : scale, : 128 * scale : scale].numpy()
        owner = left if left[at] else right if right[at] else ~(left | right)
        assert (whole == owner).mean() > 0.97
        both = inside[row, 2, : 96 * scale : scale, : 128 * scale : scale].numpy()
        if owner is left or owner is right:
            assert (both == (left | right)).mean() > 0.97
            core = inside[row, 0].sum()
            assert 0 < core < inside[row, 1].sum()
    sure = bank.predicted_iou > 0.8
    assert sure[27, 0]  # in the middle of the left one
    assert not sure[0, 2]
    assert torch.equal(draw_dense_bank(scene, 8, seed=0).logits, bank.logits)
