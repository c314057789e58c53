"""Runs the attention of SAM's image encoder so that the scores of all pairs of places stay small.

segment-anything makes these scores at once, passes over them five times, and looks its relative
positions up through the CPU, for which an accelerator waits in every layer.
"""

from __future__ import annotations

import math

import torch
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional

from workers.segmenters.encoder_attention_kernel import attend_in_blocks, can_attend

# Scores that a CPU's second-level cache holds; of fewer places PyTorch's kernel is as fast.
_SCORES_IN_CACHE = 2**18


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
        if x.device.type == "cpu" and self.num_heads * (height * width) ** 2 > _SCORES_IN_CACHE:
            attend = attend_in_blocks if can_attend(x) else _attend_by_rows
            out = attend(queries, keys, values, of_rows, of_columns)
        else:
            bias = (of_rows[..., :, None] + of_columns[..., None, :]).flatten(4).flatten(2, 3)
            out = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        joined: Tensor = self.proj(out.transpose(1, 2).reshape(count, height, width, channels))
        return joined


def _attend_by_rows(
    queries: Tensor, keys: Tensor, values: Tensor, of_rows: Tensor, of_columns: Tensor
) -> Tensor:
    """Attention with relative positions, whose scores stay in a CPU's cache: (n, heads, p, d).

    queries, keys and values (n, heads, p, d); of_rows and of_columns (n, heads, height, width, k),
    what a place adds for each row and each column of the others. A place's row and column, as ones
    in its key, bring these into the scores by the same product.
    """
    count, heads, height, width = of_rows.shape[:4]
    rows, columns = torch.eye(height), torch.eye(width)
    place = torch.cat([rows.repeat_interleave(width, dim=0), columns.repeat(height, 1)], dim=1)
    wide_queries = torch.cat(
        [queries / math.sqrt(queries.shape[-1]), of_rows.flatten(2, 3), of_columns.flatten(2, 3)],
        dim=-1,
    ).flatten(0, 1)
    wide_keys = torch.cat([keys, place.to(keys).expand(count, heads, -1, -1)], dim=-1)
    wide_keys, values = wide_keys.flatten(0, 1).mT, values.flatten(0, 1)
    places = height * width
    heads_at_once = max(1, min(len(values), _SCORES_IN_CACHE // (width * places)))
    rows_at_once = max(1, _SCORES_IN_CACHE // (heads_at_once * width * places))
    out = torch.empty_like(queries).flatten(0, 1)
    for head in range(0, len(values), heads_at_once):
        of_heads = slice(head, head + heads_at_once)
        for start in range(0, places, rows_at_once * width):
            part = slice(start, start + rows_at_once * width)
            scores = wide_queries[of_heads, part] @ wide_keys[of_heads]
            out[of_heads, part] = scores.softmax(dim=-1) @ values[of_heads]
    return torch.unflatten(out, 0, (count, heads))


def fuse_attention(encoder: nn.Module) -> nn.Module:
    """`encoder` itself, its attention replaced in place where it is one of segment-anything's."""
    for block in encoder.modules():
        if isinstance(block, Block) and getattr(block.attn, "use_rel_pos", False):
            tables = block.attn.rel_pos_h, block.attn.rel_pos_w
            # A table has every distance between two of them, either way.
            height, width = ((len(table) + 1) // 2 for table in tables)
            block.attn = FusedAttention(block.attn, (height, width))
    return encoder
