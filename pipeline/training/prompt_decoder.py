"""Decodes masks of prompts as segment-anything does, faster to differentiate on a CPU.

Image tokens stay rows, attention is the fused one, and the transposed convolutions, whose kernels
are as wide as their strides, are linear layers.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from segment_anything.modeling.transformer import Attention
from torch import Tensor
from torch.nn import functional

from pipeline.training.prompt_samples import PADDING
from workers.segmenters.decoder.image_tokens import split_heads
from workers.segmenters.decoder.upscaling import to_linear


def embed_points(encoder: PromptEncoder, coordinates: Tensor, kinds: Tensor) -> Tensor:
    """The prompt encoder's tokens: coordinates (n, t, 2), x and y in the frame; kinds (n, t)."""
    encoded = encoder.pe_layer.forward_with_coords(coordinates + 0.5, encoder.input_image_size)
    embeddings = [encoder.not_a_point_embed, *encoder.point_embeddings]
    table = torch.cat([embedding.weight for embedding in embeddings])
    tokens: Tensor = encoded * (kinds != PADDING)[..., None] + table[kinds]
    return tokens


def embed_mask(encoder: PromptEncoder, logits: Tensor | None) -> Tensor:
    """What is added to the image's tokens: logits (n, 1, 4 h, 4 w) to (n, h * w, c)."""
    if logits is None:
        nothing: Tensor = encoder.no_mask_embed.weight
        return nothing[None]
    dense: Tensor = encoder.mask_downscaling(logits)
    return dense.flatten(2).mT


def decode(
    decoder: MaskDecoder,
    encoder: PromptEncoder,
    image: Tensor,
    sparse: Tensor,
    dense: Tensor,
    outputs: slice,
) -> tuple[Tensor, Tensor]:
    """What `decoder.predict_masks` predicts for the prompts of an image, (h * w, c).

    Of its four outputs those in `outputs`: logits (n, m, 4 h, 4 w) and predicted IoU (n, m).
    """
    transformer = decoder.transformer
    first = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([first.expand(len(sparse), -1, -1), sparse], dim=1)
    position = encoder.get_dense_pe().flatten(2).mT.to(image.dtype)
    # Where no mask is fed back, all prompts share the rows until these have attended to tokens.
    tokens, rows = encoding, image + dense
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            tokens = _attend(layer.self_attn, tokens, tokens, tokens)
        else:
            queries = tokens + encoding
            tokens = tokens + _attend(layer.self_attn, queries, queries, tokens)
        tokens = layer.norm1(tokens)
        placed = rows + position
        to_image = layer.cross_attn_token_to_image
        tokens = layer.norm2(tokens + _attend(to_image, tokens + encoding, placed, rows))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        to_tokens = layer.cross_attn_image_to_token
        rows = layer.norm4(rows + _attend(to_tokens, placed, tokens + encoding, tokens))
    final = transformer.final_attn_token_to_image
    tokens = tokens + _attend(final, tokens + encoding, rows + position, rows)
    tokens = transformer.norm_final_attn(tokens)
    networks = list(decoder.output_hypernetworks_mlps)[outputs]
    masks = tokens[:, 1 : 1 + decoder.num_mask_tokens][:, outputs].unbind(dim=1)
    weights = torch.stack([net(token) for net, token in zip(networks, masks, strict=True)], dim=1)
    logits = _upscale(decoder, rows, weights, encoder.image_embedding_size)
    return logits, decoder.iou_prediction_head(tokens[:, 0])[:, outputs]


def _attend(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    heads, count = attention.num_heads, max(len(queries), len(keys))
    projected = attention.q_proj(queries), attention.k_proj(keys), attention.v_proj(values)
    q, k, v = (split_heads(rows, heads).expand(count, -1, -1, -1) for rows in projected)
    attended = functional.scaled_dot_product_attention(q, k, v)
    out: Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2))
    return out


def _upscale(
    decoder: MaskDecoder, rows: Tensor, weights: Tensor, size_hw: tuple[int, int]
) -> Tensor:
    first, norm, _, second, _ = decoder.output_upscaling
    halves = torch.unflatten(functional.linear(rows, *to_linear(first)), 2, (4, -1))
    halves = functional.layer_norm(halves, halves.shape[-1:], norm.weight, norm.bias, norm.eps)
    quarters = functional.gelu(functional.linear(functional.gelu(halves), *to_linear(second)))
    cells = weights @ torch.unflatten(quarters, 3, (4, -1)).flatten(1, 3).mT
    height, width = size_hw
    # Rows, columns, and twice the row and the column in what was doubled.
    parts = cells.reshape(*cells.shape[:2], height, width, 2, 2, 2, 2)
    rows_first = parts.permute(0, 1, 2, 4, 6, 3, 5, 7)
    logits: Tensor = rows_first.reshape(*cells.shape[:2], 4 * height, 4 * width)
    return logits
