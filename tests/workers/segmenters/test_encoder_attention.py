"""The encoder with fused attention gives the embedding that segment-anything's gives."""

from __future__ import annotations

import copy

import torch

from bench.mask_bank import wide_sam
from workers.segmenters.encoder_attention import FusedAttention, fuse_attention


def test_fused_attention_gives_the_same_embedding() -> None:
    encoder = wide_sam().image_encoder
    for name, weights in encoder.named_parameters():
        if "rel_pos" in name or "qkv" in name:
            weights.data = torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    frames = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(2))
    fused = fuse_attention(copy.deepcopy(encoder))
    assert all(isinstance(block.attn, FusedAttention) for block in fused.blocks)
    with torch.inference_mode():
        torch.testing.assert_close(fused(frames), encoder(frames), rtol=1e-3, atol=1e-3)


def test_another_encoder_stays_as_it_is() -> None:
    encoder = torch.nn.Conv2d(3, 4, 1)
    assert fuse_attention(encoder) is encoder
