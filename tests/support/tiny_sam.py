"""Segment Anything in its smallest shape, with random weights, and noise to show it."""

from __future__ import annotations

import numpy as np
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from schemas.images import UInt8Image


def make_tiny_sam() -> Sam:
    """In evaluation mode: frames of 64 pixels, 16 features."""
    torch.manual_seed(0)
    return Sam(
        ImageEncoderViT(
            img_size=64, embed_dim=16, depth=1, num_heads=2, out_chans=16, use_rel_pos=True
        ),
        PromptEncoder(16, (4, 4), (64, 64), mask_in_chans=4),
        MaskDecoder(
            transformer_dim=16,
            transformer=TwoWayTransformer(1, 16, num_heads=2, mlp_dim=16),
            iou_head_hidden_dim=16,
        ),
    ).eval()


def make_noise(height: int, width: int) -> UInt8Image:
    """Another picture for each size: uint8 (height, width, 3)."""
    rng = np.random.default_rng(height * 10_000 + width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
