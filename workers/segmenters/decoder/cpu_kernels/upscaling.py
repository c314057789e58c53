"""Upscales image tokens to mask logits on a CPU in float32, in blocks that fit its caches.

Computes what `decoder.upscaling` does. PyTorch makes a pass over memory for each of scaling,
normalising, GELU, weighing and rearranging; here there are two. Image tokens lie along the last
axis throughout, so that many are computed at once without a sum across them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.segmenters.decoder.image_tokens import FactoredImageTokens
from workers.segmenters.decoder.matmul import multiply
from workers.segmenters.decoder.upscaling import to_linear
from workers.segmenters.numba_jit import jit_fused

Float32s = npt.NDArray[np.float32]

_BLOCK_OF_SUMS = 256  # image tokens
_BLOCK = 64  # image tokens, whose channels at the norm fit into a first-level cache
# The normal distribution function is 0.5 + x P(x^2) / Q(x^2) for |x| <= 5.2, fitted to an error of
# 3e-9, and beyond that 0 or 1 to within float32's precision.
_END = np.float32(5.2)
_P = tuple(
    np.float32(x)
    for x in (
        0.398942261, 0.0325444909, 0.00460864155, 0.000156860973, 6.40788821e-06, 2.47312032e-08,
    )
)  # fmt: skip
_Q = tuple(
    np.float32(x)
    for x in (1, 0.248243283, 0.027926654, 0.00181719913, 7.04959218e-05, 1.25887066e-06)
)
_P0, _P1, _P2, _P3, _P4, _P5 = _P
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5 = _Q
_HALF, _ONE = np.float32(0.5), np.float32(1)


class NormInputs(NamedTuple):
    """What turns the residuals' part of upscaled tokens into the norm's outputs.

    base_share, scale (p,) and base (channels, p): see `FactoredImageTokens` and `upscale_base`.
    constant, gain and bias (channels,), the latter two and eps the norm's.
    """

    base_share: Float32s
    scale: Float32s
    base: Float32s
    constant: Float32s
    gain: Float32s
    bias: Float32s
    eps: np.float32


@jit_fused
def gelu(x: np.float32) -> np.float32:
    """x times the normal distribution function of x, as PyTorch's GELU without approximation."""
    near = min(max(x, -_END), _END)
    u = near * near
    p = _P0 + u * (_P1 + u * (_P2 + u * (_P3 + u * (_P4 + u * _P5))))
    q = _Q0 + u * (_Q1 + u * (_Q2 + u * (_Q3 + u * (_Q4 + u * _Q5))))
    return x * (_HALF + near * (p / q))


def compute_prompt_logits(
    decoder: MaskDecoder,
    tokens: FactoredImageTokens,
    base: Tensor,
    mask_weights: Tensor,
    columns: int,
) -> Float32s:
    """Of one prompt's first image tokens, rows of `columns`: (m, 4 * rows, 4 * columns) logits.

    base: `upscale_base` of these tokens, (2 * 2 * c / 4, p). mask_weights (m, c / 8), where m is
    from 1 to 3.
    """
    first, norm, _, second, _ = decoder.output_upscaling
    weight, bias = to_linear(first)
    part = base.shape[1]
    shares = tokens.residual_shares[..., :part].contiguous()
    residuals = torch.unflatten((tokens.residuals @ weight.T).mT, 1, (4, -1))
    constant = (weight @ tokens.stage.bias + bias).reshape(4, -1).numpy()
    base_share, scale = tokens.base_share[0, 0].numpy(), tokens.scale[0, 0].numpy()
    gain, bias, eps = norm.weight.numpy(), norm.bias.numpy(), np.float32(norm.eps)
    second_weight, _ = to_linear(second)
    logits = np.empty((len(mask_weights), 4 * (part // columns), 4 * columns), np.float32)
    # A quarter at a time, which stays in the caches.
    for quarter, quarter_base in enumerate(base.reshape(4, -1, part).numpy()):
        upscaled = multiply(residuals[:, quarter], shares)
        inputs = NormInputs(base_share, scale, quarter_base, constant[quarter], gain, bias, eps)
        _normalise_and_activate(upscaled[0].numpy(), inputs)
        again = multiply(second_weight[None], upscaled)[0].numpy()
        _weigh_quarter(again, second.bias.numpy(), mask_weights.numpy(), quarter, logits)
    return logits


@jit_fused
def _normalise_and_activate(rows: Float32s, inputs: NormInputs) -> None:
    """Add the base's part to rows, (channels, p); then the norm over channels, and GELU."""
    channels, part = rows.shape
    share = _ONE / np.float32(channels)
    block = np.empty((channels, _BLOCK), np.float32)
    means, spreads = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for start in range(0, part, _BLOCK):
        end = min(start + _BLOCK, part)
        count = end - start
        mean, spread = means[:count], spreads[:count]
        mean[:], spread[:] = 0, 0
        for channel in range(channels):
            row = block[channel, :count]
            _add_base(rows, inputs, channel, start, row)
            _add(row, mean)
        for i in range(count):
            mean[i] *= share
        for channel in range(channels):
            _add_squares(block[channel, :count], mean, spread)
        for i in range(count):
            spread[i] = _ONE / np.sqrt(spread[i] * share + inputs.eps)
        for channel in range(channels):
            gain, bias = inputs.gain[channel], inputs.bias[channel]
            row, out = block[channel, :count], rows[channel, start:end]
            _activate(row, mean, spread, gain, bias, out)


@jit_fused
def _add_base(rows: Float32s, inputs: NormInputs, channel: int, start: int, out: Float32s) -> None:
    end = start + len(out)
    residual, base = rows[channel, start:end], inputs.base[channel, start:end]
    base_share, scale = inputs.base_share[start:end], inputs.scale[start:end]
    constant = inputs.constant[channel]
    for i in range(len(out)):
        out[i] = scale[i] * (residual[i] + base_share[i] * base[i]) + constant


@jit_fused
def _add(row: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        total[i] += row[i]


@jit_fused
def _add_squares(row: Float32s, mean: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        difference = row[i] - mean[i]
        total[i] += difference * difference


@jit_fused
def _activate(
    row: Float32s, mean: Float32s, scale: Float32s, gain: np.float32, bias: np.float32,
    out: Float32s,
) -> None:  # fmt: skip
    for i in range(len(out)):
        out[i] = gelu((row[i] - mean[i]) * scale[i] * gain + bias)


@jit_fused
def _weigh_quarter(
    rows: Float32s, bias: Float32s, weights: Float32s, quarter: int, logits: Float32s
) -> None:
    """Fill a quarter of `logits`, (m, 4 * rows, 4 * columns), with weighted sums of GELUs.

    These are of rows + bias. rows (4 * channels, p) are the 2 x 2 pixels that the second transposed
    convolution makes of a quarter, which is itself one of the first one's 2 x 2.
    """
    count, channels = len(weights), len(bias)
    columns = logits.shape[2] // 4
    block = columns * max(1, _BLOCK_OF_SUMS // columns)
    sums = np.empty((3, block), np.float32)
    sum1, sum2, sum3 = sums[0], sums[1], sums[2]
    second, third = min(1, count - 1), count - 1  # of one or two masks, one is computed again
    for start in range(0, rows.shape[1], block):
        end = min(start + block, rows.shape[1])
        for part in range(4):
            sums[:] = 0
            for channel in range(channels):
                row, shift = rows[part * channels + channel, start:end], bias[channel]
                w1, w2, w3 = weights[0, channel], weights[second, channel], weights[third, channel]
                for i in range(len(row)):
                    active = gelu(row[i] + shift)
                    sum1[i] += w1 * active
                    sum2[i] += w2 * active
                    sum3[i] += w3 * active
            left = 2 * (quarter % 2) + part % 2
            for mask in range(count):
                for token_row in range((end - start) // columns):
                    top = 4 * (start // columns + token_row) + 2 * (quarter // 2) + part // 2
                    for i in range(columns):
                        logits[mask, top, 4 * i + left] = sums[mask, token_row * columns + i]
