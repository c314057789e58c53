"""Runs SAM's two-way transformer on factored image tokens: same weights and results, less work.

Follows `segment_anything.modeling.transformer.TwoWayTransformer`. Image tokens are never projected:
the prompt tokens' side of an attention is taken through the projection instead, and what the image
alone decides is computed once for all of its prompts (see `image_tokens`). Differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor, nn

from workers.segmenters.decoder.cross_attention import CrossAttention
from workers.segmenters.decoder.image_tokens import FactoredImageTokens, split_heads


def run_transformer(
    decoder: MaskDecoder, attention: CrossAttention, prompts: Tensor
) -> tuple[Tensor, Sequence[FactoredImageTokens]]:
    """What `decoder.transformer` returns for prompts of one image, (n, their tokens, c).

    attention: of the image, at its start. Returns the tokens that outputs are made of, the IoU's
    and those of the multimask outputs, (n, 1 + 3, c), and the image tokens.
    """
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([output_tokens.expand(len(prompts), -1, -1), prompts], dim=1)
    layers = list(decoder.transformer.layers)
    final = decoder.transformer.final_attn_token_to_image
    tokens = _attend_to_each_other(layers[0], encoding, encoding)
    to_image = layers[0].cross_attn_token_to_image
    attn_out = attention.attend(_project(to_image.q_proj, to_image, tokens + encoding))
    for number, layer in enumerate(layers, start=1):
        tokens = layer.norm2(tokens + _join_heads(to_image, attn_out))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        to_tokens = layer.cross_attn_image_to_token
        keys = _project(to_tokens.k_proj, to_tokens, tokens + encoding)
        values = split_heads(to_tokens.v_proj(tokens), to_tokens.num_heads)
        # The next queries depend on the tokens alone, not on the image tokens' update.
        if number < len(layers):
            tokens = _attend_to_each_other(layers[number], tokens, encoding)
            to_image = layers[number].cross_attn_token_to_image
        else:
            used = [0, *range(2, len(output_tokens))]
            tokens, encoding, to_image = tokens[:, used], encoding[:, used], final
        queries = _project(to_image.q_proj, to_image, tokens + encoding)
        attn_out = attention.update_and_attend(keys, values, queries)
    tokens = decoder.transformer.norm_final_attn(tokens + _join_heads(final, attn_out))
    return tokens, attention.image_tokens()


def _attend_to_each_other(layer: TwoWayAttentionBlock, tokens: Tensor, encoding: Tensor) -> Tensor:
    queries = tokens + encoding
    if layer.skip_first_layer_pe:
        attn_out = layer.self_attn(tokens, tokens, tokens)
    else:
        attn_out = tokens + layer.self_attn(queries, queries, tokens)
    normed: Tensor = layer.norm1(attn_out)
    return normed


def _project(projection: nn.Linear, attention: Attention, rows: Tensor) -> Tensor:
    """Rows (n, t, c) projected, by heads, divided by the square root of a head's width."""
    scale = math.sqrt(attention.internal_dim / attention.num_heads)
    return split_heads(projection(rows), attention.num_heads) / scale


def _join_heads(attention: Attention, attn_out: Tensor) -> Tensor:
    """The output projection of (n, heads, t, d): (n, t, c)."""
    out: Tensor = attention.out_proj(attn_out.transpose(1, 2).flatten(2))
    return out
