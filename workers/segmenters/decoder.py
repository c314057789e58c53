"""segment-anything's mask decoder, reassociated: the same weights and results with less work.

Attention between a few tokens and all places of an image never projects the places: the tokens'
side is carried through the projection instead. Only the image's own places are projected, once for
all of its prompts, which share them until they first write to them. Places are rows, (h * w, c),
throughout. Differentiable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention
from torch import Tensor, nn
from torch.nn import functional

from workers.segmenters.products import linear, product


def _heads(x: Tensor, count: int) -> Tensor:
    """(n, t, d) to (n, heads, t, d / heads)."""
    return x.reshape(*x.shape[:-1], count, -1).transpose(1, 2)


def _weight(projection: nn.Linear, count: int) -> Tensor:
    """The rows of a projection's weight by heads: (heads, d / heads, c)."""
    return projection.weight.reshape(count, -1, projection.in_features)


def _read(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Tokens read places: queries (n, t, c); keys, values (n, places, c); to (n, t, c).

    The keys' bias moves all scores of a query alike, which softmax ignores.
    """
    count = attention.num_heads
    asked = _heads(attention.q_proj(queries), count) @ _weight(attention.k_proj, count)
    shares = product(_scaled(attention, asked).flatten(1, 2), keys.mT).softmax(dim=-1)
    read = product(shares, values).reshape(asked.shape) @ _weight(attention.v_proj, count).mT
    out: Tensor = attention.out_proj(read.transpose(1, 2).flatten(2) + attention.v_proj.bias)
    return out


def _read_projected(attention: Attention, queries: Tensor, image: ImagePlaces) -> Tensor:
    """`_read` of an image's own places, which all prompts share: (n, t, c)."""
    count = attention.num_heads
    asked = _scaled(attention, _heads(attention.q_proj(queries), count)).transpose(0, 1)
    shares = (asked.flatten(1, 2) @ image.keys.mT).softmax(dim=-1)
    read = (shares @ image.values).reshape(asked.shape)  # (heads, n, t, d / heads)
    out: Tensor = attention.out_proj(read.permute(1, 2, 0, 3).flatten(2))
    return out


def _scaled(attention: Attention, scores: Tensor) -> Tensor:
    return scores / math.sqrt(attention.internal_dim / attention.num_heads)


def _keys(attention: Attention, tokens: Tensor) -> Tensor:
    return _scaled(attention, _heads(attention.k_proj(tokens), attention.num_heads))


def _write(
    attention: Attention, tokens: Tensor, values: Tensor, queries: Tensor, places: Tensor
) -> Tensor:
    """Places read tokens and add what they read to themselves: (n, places, c).

    tokens, values (n, t, c); queries, places (n, places, c).
    """
    keys = _keys(attention, tokens)
    count = attention.num_heads
    asked = product((keys @ _weight(attention.q_proj, count)).flatten(1, 2), queries.mT)
    bias = keys @ attention.q_proj.bias.reshape(count, -1, 1)
    scores = asked.reshape(*keys.shape[:3], -1) + bias
    return _written(attention, scores, values, places)


def _write_projected(
    attention: Attention, tokens: Tensor, values: Tensor, image: ImagePlaces
) -> Tensor:
    """`_write` to an image's own places: (n, places, c)."""
    keys = _keys(attention, tokens).transpose(0, 1)
    asked = keys.flatten(1, 2) @ image.queries.mT
    scores = asked.reshape(*keys.shape[:3], -1).transpose(0, 1)
    return _written(attention, scores, values, image.places.expand(len(tokens), -1, -1))


def _written(attention: Attention, scores: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """scores (n, heads, t, places) of tokens with `values`, (n, t, c); places (n, places, c)."""
    count = attention.num_heads
    shares = scores.softmax(dim=2).flatten(1, 2)
    onwards = attention.out_proj.weight.T.reshape(count, -1, attention.embedding_dim)
    # A place's shares sum to 1 in each head, so that the bias may come in equal parts with them.
    written = _heads(attention.v_proj(values), count) @ onwards + attention.out_proj.bias / count
    return product(shares.mT, written.flatten(1, 2), places)


@dataclass(frozen=True, slots=True, eq=False)
class ImagePlaces:
    """An image's places and what the first layer makes of them, which its prompts share.

    places and position float (h * w, c); keys, values and queries float (heads, h * w, d / heads).
    """

    places: Tensor
    position: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


def project(decoder: MaskDecoder, image: Tensor, position: Tensor) -> ImagePlaces:
    """Prepare an image for `attend`.

    image float (h * w, c), with the embedding of no mask prompt added; position (h * w, c).
    """
    first = decoder.transformer.layers[0]
    read, write = first.cross_attn_token_to_image, first.cross_attn_image_to_token
    placed = image + position

    def heads(attention: Attention, rows: Tensor) -> Tensor:
        return _heads(rows[None], attention.num_heads)[0].contiguous()

    return ImagePlaces(
        image,
        position,
        keys=heads(read, read.k_proj(placed)),
        values=heads(read, read.v_proj(image)),
        queries=heads(write, write.q_proj(placed)),
    )


def attend(decoder: MaskDecoder, image: ImagePlaces, sparse: Tensor) -> tuple[Tensor, Tensor]:
    """What `decoder.transformer` returns for prompts of one image, sparse (n, their tokens, c).

    Returns the tokens that something is made of, the predicted IoU's and those of the multimask
    outputs, (n, 1 + 3, c), and the places (n, h * w, c).
    """
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    tokens, places = prompts, image.places
    for number, layer in enumerate(decoder.transformer.layers):
        queries = tokens + prompts
        if layer.skip_first_layer_pe:
            tokens = layer.self_attn(tokens, tokens, tokens)
        else:
            tokens = tokens + layer.self_attn(queries, queries, tokens)
        tokens = layer.norm1(tokens)
        reader, writer = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        if number == 0:
            read = _read_projected(reader, tokens + prompts, image)
        else:
            placed = places + image.position
            read = _read(reader, tokens + prompts, placed, places)
        tokens = layer.norm2(tokens + read)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        if number == 0:
            written = _write_projected(writer, tokens + prompts, tokens, image)
        else:
            written = _write(writer, tokens + prompts, tokens, placed, places)
        places = layer.norm4(written)
    used = [0, *range(2, len(own))]
    tokens, prompts = tokens[:, used], prompts[:, used]
    final = decoder.transformer.final_attn_token_to_image
    read = _read(final, tokens + prompts, places + image.position, places)
    tokens = decoder.transformer.norm_final_attn(tokens + read)
    return tokens, places


def mask_logits(decoder: MaskDecoder, places: Tensor, weights: Tensor) -> Tensor:
    """Upscaled places, weighed: (n, p, c) and (n, m, c / 8) to (n, m, p, 4, 4).

    The transposed convolutions of `decoder.output_upscaling` have kernels as wide as their strides
    and mix no places.
    """
    first, norm, activation, second, _ = decoder.output_upscaling
    halves = activation(_normed(norm, _spread(first, places)))
    quarters = activation(_spread(second, halves))  # (n, p, 2, 2, 2, 2, c / 8)
    logits: Tensor = weights @ quarters.flatten(1, 5).mT
    split = logits.reshape(*logits.shape[:2], *quarters.shape[1:6])
    return split.transpose(4, 5).flatten(5, 6).flatten(3, 4)


def mask_weights(decoder: MaskDecoder, tokens: Tensor) -> Tensor:
    """What the multimask outputs weigh upscaled places by: (n, 1 + 3, c) to (n, 3, c / 8)."""
    networks = decoder.output_hypernetworks_mlps[1:]
    weights = [network(tokens[:, row]) for row, network in enumerate(networks, start=1)]
    return torch.stack(weights, dim=1)


def _spread(deconvolution: nn.ConvTranspose2d, places: Tensor) -> Tensor:
    """(..., c) to (..., 2, 2, c')."""
    weight = deconvolution.weight.permute(2, 3, 1, 0)
    bias = cast(Tensor, deconvolution.bias).repeat(4)
    spread = linear(places.flatten(0, -2), weight.flatten(0, 2), bias)
    return spread.reshape(*places.shape[:-1], *weight.shape[:3])


def _normed(norm: LayerNorm2d, rows: Tensor) -> Tensor:
    """`norm` where the channels come last."""
    return functional.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)
