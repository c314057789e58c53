"""Upscales image tokens to mask logits in PyTorch, as SAM's `output_upscaling` does.

Both of its transposed convolutions have kernels as wide as their strides: each is a linear layer on
every image token by itself. So it can be computed of single tokens, and the first one of the
factors of image tokens (see `image_tokens`). Differentiable.
"""

from __future__ import annotations

from typing import cast

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from workers.segmenters.decoder.image_tokens import FactoredImageTokens, ImageStage
from workers.segmenters.decoder.matmul import linear


def upscale_rows(decoder: MaskDecoder, rows: Tensor) -> Tensor:
    """Image tokens, (n, p, c), after the first transposed convolution: (n, p, 2 * 2 * c / 4)."""
    weight, bias = to_linear(decoder.output_upscaling[0])
    return linear(rows.flatten(0, 1), weight, bias).reshape(*rows.shape[:2], -1)


def upscale_base(decoder: MaskDecoder, last: ImageStage) -> Tensor:
    """The image's part in `upscale_tokens`, from its last stage: (2 * 2 * c / 4, h * w)."""
    weight, _ = to_linear(decoder.output_upscaling[0])
    return weight @ (last.base * last.gain).mT


def upscale_tokens(decoder: MaskDecoder, tokens: FactoredImageTokens, base: Tensor) -> Tensor:
    """`upscale_rows` of n prompts' first p tokens; base (2 * 2 * c / 4, p), see `upscale_base`."""
    weight, bias = to_linear(decoder.output_upscaling[0])
    return tokens.project(weight.T, base.mT) + (weight @ tokens.stage.bias + bias)


def compute_logits(
    decoder: MaskDecoder, upscaled: Tensor, mask_weights: Tensor, detail: Tensor | None = None
) -> Tensor:
    """The rest of the upscaling, and the product with the masks' weights.

    (n, p, 2 * 2 * c / 4) and (n, m, c / 8) to the logits of 4 x 4 pixels a token,
    (n, m, p, 4, 4). detail (p * 2 * 2, 2 * 2 * c / 8) is added to what the second transposed
    convolution gives, as SAM 2 does.
    """
    _, norm, activation, second, _ = decoder.output_upscaling
    weight, bias = to_linear(second)
    halves = activation(_normalise(norm, torch.unflatten(upscaled, 2, (4, -1))))
    quarters = linear(halves.flatten(0, 2), weight, bias)
    if detail is not None:
        quarters = torch.unflatten(quarters, 0, (len(upscaled), -1)) + detail
    quarters = activation(quarters)
    rows = quarters.reshape(len(upscaled), -1, mask_weights.shape[-1])
    logits: Tensor = mask_weights @ rows.mT
    split = logits.reshape(*logits.shape[:2], upscaled.shape[1], 2, 2, 2, 2)
    return split.transpose(4, 5).flatten(5, 6).flatten(3, 4)


def compute_mask_weights(decoder: MaskDecoder, tokens: Tensor) -> Tensor:
    """The hypernetworks' outputs for the multimask tokens: (n, 1 + 3, c) to (n, 3, c / 8)."""
    networks = decoder.output_hypernetworks_mlps[1:]
    weights = [network(tokens[:, row]) for row, network in enumerate(networks, start=1)]
    return torch.stack(weights, dim=1)


def to_linear(deconvolution: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Its weight, (2 * 2 * d, c), and bias, as those of a linear layer from c to (2, 2, d)."""
    bias = cast(Tensor, deconvolution.bias)
    return deconvolution.weight.permute(2, 3, 1, 0).flatten(0, 2), bias.repeat(4)


def _normalise(norm: LayerNorm2d, rows: Tensor) -> Tensor:
    """`norm` where the channels come last."""
    return functional.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)
