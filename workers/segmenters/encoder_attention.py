"""Runs the attention of SAM's image encoder in PyTorch's fused kernels, for accelerators.

segment-anything makes the scores of all pairs of places and passes over them five times, and looks
its relative positions up through the CPU, for which the device waits in every layer.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional


class FusedAttention(nn.Module):
    """What `attention` computes of frames of one size, with the same weights.

    side_hw: of the places that attend to one another.
    """

    row_positions: Tensor
    column_positions: Tensor

    def __init__(self, attention: Attention, side_hw: tuple[int, int]) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = attention.qkv, attention.proj, attention.num_heads
        tables = zip(side_hw, (attention.rel_pos_h, attention.rel_pos_w), strict=True)
        rows, columns = (get_rel_pos(side, side, table.detach()) for side, table in tables)
        self.register_buffer("row_positions", rows, persistent=False)
        self.register_buffer("column_positions", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """float (n, height, width, c) to the same."""
        count, height, width, channels = x.shape
        by_heads = self.qkv(x).reshape(count, height * width, 3, self.num_heads, -1)
        queries, keys, values = by_heads.permute(2, 0, 3, 1, 4).unbind(0)
        at = queries.reshape(count, self.num_heads, height, width, -1)
        of_rows = torch.einsum("nahwc,hkc->nahwk", at, self.row_positions)
        of_columns = torch.einsum("nahwc,wkc->nahwk", at, self.column_positions)
        bias = (of_rows[..., :, None] + of_columns[..., None, :]).flatten(4).flatten(2, 3)
        out = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        joined: Tensor = self.proj(out.transpose(1, 2).reshape(count, height, width, channels))
        return joined


def fuse_attention(encoder: nn.Module) -> nn.Module:
    """`encoder` itself, its attention replaced in place where it is one of segment-anything's."""
    if not isinstance(encoder, ImageEncoderViT):
        return encoder
    vit: Any = encoder
    frame_hw = None if vit.pos_embed is None else vit.pos_embed.shape[1:3]
    for block in vit.blocks:
        side_hw = (block.window_size,) * 2 if block.window_size > 0 else frame_hw
        if side_hw is not None and block.attn.use_rel_pos:
            block.attn = FusedAttention(block.attn, side_hw)
    whole: nn.Module = vit
    return whole
