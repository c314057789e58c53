"""segment-anything's mask decoder, reassociated: the same weights and results with less work.

Attention between a few tokens and all places of an image never projects the places: the tokens'
side is carried through the projection instead, and what the image alone decides is computed once
for all of its prompts (see `workers.segmenters.places`). Differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

from workers.segmenters.decoder.image_tokens import Level, Turns, Written, heads
from workers.segmenters.decoder.matmul import linear


def attend(decoder: MaskDecoder, turns: Turns, sparse: Tensor) -> tuple[Tensor, Sequence[Written]]:
    """What `decoder.transformer` returns for prompts of one image, sparse (n, their tokens, c).

    turns: of the image, not begun. Returns the tokens that something is made of, the predicted
    IoU's and those of the multimask outputs, (n, 1 + 3, c), and the places.
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    layers = list(decoder.transformer.layers)
    final = decoder.transformer.final_attn_token_to_image
    tokens = _of_each_other(layers[0], prompts, prompts)
    reader = layers[0].cross_attn_token_to_image
    heard = turns.read(_asked(reader.q_proj, reader, tokens + prompts))
    for number, layer in enumerate(layers, start=1):
        tokens = layer.norm2(tokens + _joined(reader, heard))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        writer = layer.cross_attn_image_to_token
        asked = _asked(writer.k_proj, writer, tokens + prompts)
        told = heads(writer.v_proj(tokens), writer.num_heads)
        # What the places will be asked next hangs on the tokens alone.
        if number < len(layers):
            tokens = _of_each_other(layers[number], tokens, prompts)
            reader = layers[number].cross_attn_token_to_image
        else:
            used = [0, *range(2, len(own))]
            tokens, prompts, reader = tokens[:, used], prompts[:, used], final
        heard = turns.write(asked, told, _asked(reader.q_proj, reader, tokens + prompts))
    return decoder.transformer.norm_final_attn(tokens + _joined(final, heard)), turns.places()


def _of_each_other(layer: TwoWayAttentionBlock, tokens: Tensor, prompts: Tensor) -> Tensor:
    queries = tokens + prompts
    if layer.skip_first_layer_pe:
        heard = layer.self_attn(tokens, tokens, tokens)
    else:
        heard = tokens + layer.self_attn(queries, queries, tokens)
    normed: Tensor = layer.norm1(heard)
    return normed


def _asked(projection: nn.Linear, attention: Attention, rows: Tensor) -> Tensor:
    """Rows (n, t, c) projected, by heads, and scaled as scores are."""
    scale = math.sqrt(attention.internal_dim / attention.num_heads)
    return heads(projection(rows), attention.num_heads) / scale


def _joined(attention: Attention, heard: Tensor) -> Tensor:
    """What heads have read, (n, heads, t, d), as what tokens take: (n, t, c)."""
    out: Tensor = attention.out_proj(heard.transpose(1, 2).flatten(2))
    return out


def doubled(decoder: MaskDecoder, places: Tensor) -> Tensor:
    """Rows of places, (n, p, c), after the first transposed convolution: (n, p, 4 * c / 4).

    Both of `decoder.output_upscaling` have kernels as wide as their strides and mix no places.
    """
    weight, bias = spreading(decoder.output_upscaling[0])
    return linear(places.flatten(0, 1), weight, bias).reshape(*places.shape[:2], -1)


def doubled_base(decoder: MaskDecoder, last: Level) -> Tensor:
    """What `doubled_places` computes once for an image, of its last level: (4 * c / 4, h * w)."""
    weight, _ = spreading(decoder.output_upscaling[0])
    return weight @ (last.base * last.gain).mT


def doubled_places(decoder: MaskDecoder, places: Written, of_base: Tensor) -> Tensor:
    """`doubled` of the first p places of n prompts; of_base (4 * c / 4, p)."""
    weight, bias = spreading(decoder.output_upscaling[0])
    return places.by(weight.T, of_base.mT) + (weight @ places.level.bias + bias)


def mask_logits(decoder: MaskDecoder, doubled: Tensor, weights: Tensor) -> Tensor:
    """Places further upscaled and weighed: (n, p, 4 * c / 4), (n, m, c / 8) to (n, m, p, 4, 4)."""
    _, norm, activation, second, _ = decoder.output_upscaling
    weight, bias = spreading(second)
    halves = activation(_normed(norm, torch.unflatten(doubled, 2, (4, -1))))
    quarters = activation(linear(halves.flatten(0, 2), weight, bias))
    logits: Tensor = weights @ quarters.reshape(len(doubled), -1, weights.shape[-1]).mT
    split = logits.reshape(*logits.shape[:2], doubled.shape[1], 2, 2, 2, 2)
    return split.transpose(4, 5).flatten(5, 6).flatten(3, 4)


def mask_weights(decoder: MaskDecoder, tokens: Tensor) -> Tensor:
    """What the multimask outputs weigh upscaled places by: (n, 1 + 3, c) to (n, 3, c / 8)."""
    networks = decoder.output_hypernetworks_mlps[1:]
    weights = [network(tokens[:, row]) for row, network in enumerate(networks, start=1)]
    return torch.stack(weights, dim=1)


def spreading(deconvolution: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Its weight, (2 * 2 * c', c), and bias, as those of a linear layer from c to (2, 2, c')."""
    bias = cast(Tensor, deconvolution.bias)
    return deconvolution.weight.permute(2, 3, 1, 0).flatten(0, 2), bias.repeat(4)


def _normed(norm: LayerNorm2d, rows: Tensor) -> Tensor:
    """`norm` where the channels come last."""
    return functional.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)
