"""Drawn masks for a decoder without trained weights: what it computes must reach them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.mask_bank import Blend, draw_bank


def test_a_bank_has_masks_for_every_point_that_thresholds_keep_or_not() -> None:
    bank = draw_bank((48, 64), 4, seed=0)
    assert bank.logits.shape == (16, 3, 256, 256)
    assert bank.predicted_iou.shape == (16, 3)
    inside = (bank.logits > 0).float().mean(dim=(2, 3))
    assert 0 < inside[:, 0].mean() < inside[:, 2].mean() < 0.6
    assert 0.2 < (bank.predicted_iou > 0.88).float().mean() < 0.9
    assert not (bank.none_sure().predicted_iou > 0.88).any()
    assert torch.equal(draw_bank((48, 64), 4, seed=0).logits, bank.logits)


def test_what_the_decoder_computes_moves_the_masks_by_a_set_amount() -> None:
    bank = draw_bank((48, 64), 2, seed=0)
    rng = np.random.default_rng(1)
    computed = torch.from_numpy(rng.normal(5, 40, (4, 3, 32, 32)).astype(np.float32))
    predicted = torch.from_numpy(rng.normal(0.2, 3, (4, 3)).astype(np.float32))
    blend = Blend.calibrated(bank, computed, predicted)
    moved = blend.logits(torch.zeros_like(computed), computed)
    assert moved.mean().item() == pytest.approx(0, abs=1e-3)
    assert moved.std().item() == pytest.approx(0.35, rel=1e-3)
    shift = blend.predicted_iou(torch.zeros(4, 3), predicted)
    assert shift.std(dim=0).tolist() == pytest.approx([0.01] * 3, rel=1e-3)
