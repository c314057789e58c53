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
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional

from workers.segmenters.places import Level, Places, Unwritten, Written, heads
from workers.segmenters.products import linear


def attend(
    decoder: MaskDecoder, image: Sequence[Level], sparse: Tensor
) -> tuple[Tensor, list[Written]]:
    """What `decoder.transformer` returns for prompts of one image, sparse (n, their tokens, c).

    image: its `levels`. Returns the tokens that something is made of, the predicted IoU's and those
    of the multimask outputs, (n, 1 + 3, c), and the places, of a prompt each on a CPU.
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    # What a CPU holds of one prompt's places stays in its caches.
    group = 1 if sparse.device.type == "cpu" else len(sparse)
    tokens, written = prompts, list[Written]()
    places: Sequence[Places] = [Unwritten(image[0])] * math.ceil(len(sparse) / group)
    for layer, after in zip(decoder.transformer.layers, image[1:], strict=True):
        queries = tokens + prompts
        if layer.skip_first_layer_pe:
            tokens = layer.self_attn(tokens, tokens, tokens)
        else:
            tokens = tokens + layer.self_attn(queries, queries, tokens)
        tokens = layer.norm1(tokens)
        read = _read(layer.cross_attn_token_to_image, tokens + prompts, places, group)
        tokens = layer.norm2(tokens + read)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        writer = layer.cross_attn_image_to_token
        places = written = _written(writer, tokens + prompts, tokens, places, after, group)
    used = [0, *range(2, len(own))]
    tokens, prompts = tokens[:, used], prompts[:, used]
    final = decoder.transformer.final_attn_token_to_image
    read = _read(final, tokens + prompts, places, group)
    return decoder.transformer.norm_final_attn(tokens + read), written


def _scaled(attention: Attention, rows: Tensor) -> Tensor:
    """By heads, and scaled as scores are."""
    return heads(rows, attention.num_heads) / math.sqrt(
        attention.internal_dim / attention.num_heads
    )


def _read(attention: Attention, queries: Tensor, places: Sequence[Places], group: int) -> Tensor:
    """Tokens read places: queries and the result (n, t, c)."""
    asked = torch.split(_scaled(attention, attention.q_proj(queries)), group)
    read = [
        some.read(some.scores(ask, some.level.keys).softmax(dim=-1))
        for some, ask in zip(places, asked, strict=True)
    ]
    out: Tensor = attention.out_proj(torch.cat(read).transpose(1, 2).flatten(2))
    return out


def _written(
    attention: Attention, keys: Tensor, values: Tensor, places: Sequence[Places], after: Level,
    group: int,
) -> list[Written]:  # fmt: skip
    """Places read tokens, keys and values (n, t, c), add what they read, and are normed."""
    asked = torch.split(_scaled(attention, attention.k_proj(keys)), group)
    told = torch.split(heads(attention.v_proj(values), attention.num_heads), group)
    written = []
    for some, ask, tell in zip(places, asked, told, strict=True):
        assert some.level.queries is not None
        shares = some.scores(ask, some.level.queries).softmax(dim=2)
        written.append(some.written(shares, tell, after))
    return written


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
