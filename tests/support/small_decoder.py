"""A mask decoder of segment-anything's own classes, small and at random."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer


def small_decoder(width: int, heads: int, seed: int = 0) -> MaskDecoder:
    torch.manual_seed(seed)
    transformer = TwoWayTransformer(depth=2, embedding_dim=width, mlp_dim=64, num_heads=heads)
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=width,
        iou_head_depth=3,
        iou_head_hidden_dim=32,
    )
