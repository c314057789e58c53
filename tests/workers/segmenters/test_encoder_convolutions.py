"""The bundled encoder with fused convolutions gives the same embedding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bench.bundled import bundled_sam
from workers.models.sam_demo_architecture import Residual
from workers.segmenters.encoder_convolutions import (
    FusedConvolution,
    FusedResidual,
    can_fuse_convolutions,
    fuse_convolutions,
)

pytestmark = pytest.mark.skipif(
    not can_fuse_convolutions("cpu", torch.float32), reason="this PyTorch has no oneDNN"
)


def test_the_bundled_encoder_gives_the_same_embedding() -> None:
    encoder = bundled_sam().image_encoder.eval()
    fused = fuse_convolutions(copy.deepcopy(encoder))
    kinds = [type(module) for module in fused.modules()]
    assert Residual not in kinds
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(FusedResidual) == 25
    assert kinds.count(FusedConvolution) == 4 * 25 + 4
    frames = torch.randn(1, 3, 448, 448, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        torch.testing.assert_close(fused(frames), encoder(frames), rtol=1e-4, atol=1e-4)


def test_only_float32_on_a_cpu_is_fused() -> None:
    assert not can_fuse_convolutions("cuda", torch.float32)
    assert not can_fuse_convolutions("cpu", torch.bfloat16)


def test_another_encoder_stays_as_it_is() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.LayerNorm(4))
    fuse_convolutions(encoder)
    assert [type(layer) for layer in encoder] == [nn.Conv2d, nn.ReLU, nn.LayerNorm]
