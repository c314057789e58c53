"""Upscales image tokens to mask logits on a CPU in float32, in blocks that fit its caches.

Computes what `decoder.upscaling` does, of all image tokens or of any. PyTorch makes a pass over
memory for each of scaling, normalising, GELU, weighing and rearranging; here a block of tokens is
taken through all of them. Image tokens lie along the last axis throughout, so that many are
computed at once without a sum across them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.numba_jit import jit_fused
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import (
    COLUMNS,
    OVERWRITE,
    WHOLE,
    put_product,
)
from workers.segmenters.decoder.image_tokens import ImageStage
from workers.segmenters.decoder.upscaling import to_linear

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

_BLOCK = 2 * COLUMNS  # image tokens, of which a first-level cache holds nearly all that is made
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


class UpscalingWeights(NamedTuple):
    """A decoder's own part in the logits of any image token.

    first (4 * channels, c), the first transposed convolution's. gain, bias (channels,) and eps are
    the norm's; second (4 * few, channels) and second_bias (few,) the second convolution's.
    """

    first: Float32s
    gain: Float32s
    bias: Float32s
    eps: np.float32
    second: Float32s
    second_bias: Float32s

    @classmethod
    def of(cls, decoder: MaskDecoder) -> UpscalingWeights:
        first, norm, _, second, _ = decoder.output_upscaling
        with torch.no_grad():
            arrays = (
                x.contiguous().numpy()
                for x in (to_linear(first)[0], norm.weight, norm.bias, to_linear(second)[0])
            )
            weight, gain, bias, second_weight = arrays
            second_bias = second.bias.numpy()
        return cls(weight, gain, bias, np.float32(norm.eps), second_weight, second_bias)


class PromptFactors(NamedTuple):
    """The factors of one prompt's image tokens, see `FactoredImageTokens`, in blocks of b.

    residuals float32 (r, c); shares (blocks, r, b); base_share and scale (blocks * b,).
    """

    residuals: Tensor
    shares: Float32s
    base_share: Float32s
    scale: Float32s


class PromptInputs(NamedTuple):
    """What the logits of one prompt's p image tokens, r residuals each, are computed from.

    residuals (4 * channels, r) after the first transposed convolution; shares, base_share and
    scale: see `PromptFactors`; base (4 * channels, p): see `upscale_base`; constant
    (4 * channels,), what is added to every token. mask_weights (m, few), m from 1 to 3.
    """

    residuals: Float32s
    shares: Float32s
    base_share: Float32s
    scale: Float32s
    base: Float32s
    constant: Float32s
    mask_weights: Float32s


def compute_constant(decoder: MaskDecoder, last: ImageStage) -> Float32s:
    """What is added to every upscaled image token at the last stage: float32 (4 * channels,)."""
    weight, bias = to_linear(decoder.output_upscaling[0])
    constant: Float32s = (weight @ last.bias + bias).numpy()
    return constant


def gather_inputs(
    factors: PromptFactors,
    weights: UpscalingWeights,
    base: Tensor,
    constant: Float32s,
    mask_weights: Tensor,
) -> PromptInputs:
    """For one prompt's image tokens, of which `base`, see `upscale_base`, has the first p."""
    residuals = torch.from_numpy(weights.first) @ factors.residuals.T
    return PromptInputs(
        residuals.numpy(),
        factors.shares,
        factors.base_share,
        factors.scale,
        base.numpy(),
        constant,
        mask_weights.numpy(),
    )


@jit_fused
def gelu(x: np.float32) -> np.float32:
    """x times the normal distribution function of x, as PyTorch's GELU without approximation."""
    near = min(max(x, -_END), _END)
    u = near * near
    p = _P0 + u * (_P1 + u * (_P2 + u * (_P3 + u * (_P4 + u * _P5))))
    q = _Q0 + u * (_Q1 + u * (_Q2 + u * (_Q3 + u * (_Q4 + u * _Q5))))
    return x * (_HALF + near * (p / q))


@jit_fused
def fill_logits(
    weights: UpscalingWeights, inputs: PromptInputs, cells: Int64s, logits: Float32s
) -> None:
    """Compute the logits of int64 (k,) image tokens at their places, and leave the others.

    logits float32 (m, 4 * rows, 4 * columns).
    """
    channels, few = len(weights.gain), len(weights.second_bias)
    nothing = np.empty((0, _BLOCK), np.float32)
    shares = np.zeros((inputs.shares.shape[1], _BLOCK), np.float32)
    upscaled = np.empty((4 * channels, _BLOCK), np.float32)
    halves = np.zeros((channels, _BLOCK), np.float32)
    quarters = np.empty((4 * few, _BLOCK), np.float32)
    for start in range(0, len(cells), _BLOCK):
        block = cells[start : start + _BLOCK]
        _gather_blocked(inputs.shares, block, shares)
        put_product(upscaled, inputs.residuals, shares, nothing, OVERWRITE, WHOLE)
        for quarter in range(4):
            rows = upscaled[quarter * channels : (quarter + 1) * channels]
            _add_base(rows, inputs, block, quarter)
            _normalise_and_activate(rows, weights, len(block), halves)
            put_product(quarters, weights.second, halves, nothing, OVERWRITE, WHOLE)
            _weigh(quarters, weights.second_bias, inputs.mask_weights, block, quarter, logits)


@jit_fused
def _gather(row: Float32s, cells: Int64s, out: Float32s) -> None:
    for i in range(len(cells)):
        out[i] = row[cells[i]]


@jit_fused
def _gather_blocked(blocks: Float32s, cells: Int64s, out: Float32s) -> None:
    size = blocks.shape[2]
    numbers, places = cells // size, cells % size
    for row in range(len(out)):
        for i in range(len(cells)):
            out[row, i] = blocks[numbers[i], row, places[i]]


@jit_fused
def _add_base(rows: Float32s, inputs: PromptInputs, cells: Int64s, quarter: int) -> None:
    """Make of the residuals' part of a quarter of image tokens, (channels, b), the whole."""
    base_share, scale = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    base = np.empty(_BLOCK, np.float32)
    _gather(inputs.base_share, cells, base_share)
    _gather(inputs.scale, cells, scale)
    for channel in range(len(rows)):
        row, number = rows[channel], quarter * len(rows) + channel
        _gather(inputs.base[number], cells, base)
        constant = inputs.constant[number]
        for i in range(len(cells)):
            row[i] = scale[i] * (row[i] + base_share[i] * base[i]) + constant


@jit_fused
def _normalise_and_activate(
    rows: Float32s, weights: UpscalingWeights, count: int, out: Float32s
) -> None:
    """The norm over the channels of rows, and GELU, in out: both (channels, b), the first count."""
    share = _ONE / np.float32(len(rows))
    mean, spread = np.zeros(_BLOCK, np.float32), np.zeros(_BLOCK, np.float32)
    for row in rows:
        for i in range(count):
            mean[i] += row[i]
    for i in range(count):
        mean[i] *= share
    for row in rows:
        _add_squares(row[:count], mean, spread)
    for i in range(count):
        spread[i] = _ONE / np.sqrt(spread[i] * share + weights.eps)
    for channel in range(len(rows)):
        gain, bias = weights.gain[channel], weights.bias[channel]
        _activate(rows[channel, :count], mean, spread, gain, bias, out[channel])


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
    for i in range(len(row)):
        out[i] = gelu((row[i] - mean[i]) * scale[i] * gain + bias)


@jit_fused
def _weigh(
    rows: Float32s, bias: Float32s, weights: Float32s, cells: Int64s, quarter: int,
    logits: Float32s,
) -> None:  # fmt: skip
    """Fill a quarter of the logits of k image tokens with weighted sums of GELUs.

    These are of rows + bias. rows (4 * few, b) are the 2 x 2 pixels that the second transposed
    convolution makes of a quarter, which is itself one of the first one's 2 x 2.
    """
    count, few, columns = len(weights), len(bias), logits.shape[2] // 4
    sums = np.empty((3, _BLOCK), np.float32)
    sum1, sum2, sum3 = sums[0], sums[1], sums[2]
    second, third = min(1, count - 1), count - 1  # of one or two masks, one is computed again
    for part in range(4):
        sums[:] = 0
        for channel in range(few):
            row, shift = rows[part * few + channel, : len(cells)], bias[channel]
            w1, w2, w3 = weights[0, channel], weights[second, channel], weights[third, channel]
            for i in range(len(row)):
                active = gelu(row[i] + shift)
                sum1[i] += w1 * active
                sum2[i] += w2 * active
                sum3[i] += w3 * active
        down, right = 2 * (quarter // 2) + part // 2, 2 * (quarter % 2) + part % 2
        for i in range(len(cells)):
            top, left = 4 * (cells[i] // columns) + down, 4 * (cells[i] % columns) + right
            for mask in range(count):
                logits[mask, top, left] = sums[mask, i]
