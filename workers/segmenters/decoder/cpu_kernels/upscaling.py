"""The mask decoder's upscaling on a CPU in float32, a block of places in the caches at a time.

The same as `decoder.mask_logits`, with what PyTorch does in a pass over memory each (scaling,
normalising, GELU, weighing, putting quarters where they belong) done in two. Places lie along the
last axis throughout, so that eight are done at once without a sum across them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn

from workers.segmenters.decoder.image_tokens import Written
from workers.segmenters.decoder.mask_decoder import spreading
from workers.segmenters.decoder.matmul import product
from workers.segmenters.numba_jit import compiled_fused

Float32s = npt.NDArray[np.float32]

_BLOCK_OF_SUMS = 256  # places
_BLOCK = 64  # places, of which a norm's channels fit into a first-level cache
# The normal distribution function is 0.5 + x P(x^2) / Q(x^2) for |x| <= 5.2, and 0 or 1 beyond to
# less than float32 tells. Fitted to an error of 3e-9.
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


def fits(decoder: MaskDecoder) -> bool:
    """Whether the kernels can stand for `decoder.output_upscaling`."""
    _, _, first, second, last = decoder.output_upscaling
    exact = all(isinstance(x, nn.GELU) and x.approximate == "none" for x in (first, last))
    weight = second.weight
    return exact and weight.device.type == "cpu" and weight.dtype == torch.float32


@compiled_fused
def gelu(x: np.float32) -> np.float32:
    """x times the normal distribution function of x, as PyTorch's GELU without approximation."""
    near = min(max(x, -_END), _END)
    u = near * near
    p = _P0 + u * (_P1 + u * (_P2 + u * (_P3 + u * (_P4 + u * _P5))))
    q = _Q0 + u * (_Q1 + u * (_Q2 + u * (_Q3 + u * (_Q4 + u * _Q5))))
    return x * (_HALF + near * (p / q))


def low_logits(
    decoder: MaskDecoder, places: Written, of_base: Tensor, weights: Tensor, columns: int
) -> Float32s:
    """Of one prompt's first places, rows of `columns`: float32 (m, 4 * rows, 4 * columns) logits.

    of_base: `decoder.doubled_base` of these places, (c, p). weights (m, c / 8), m from 1 to 3.
    """
    first, norm, _, second, _ = decoder.output_upscaling
    weight, bias = spreading(first)
    part = of_base.shape[1]
    shares = places.shares[..., :part].contiguous()
    vectors = torch.unflatten((places.vectors @ weight.T).mT, 1, (4, -1))
    constant = (weight @ places.level.bias + bias).reshape(4, -1).numpy()
    own, scale = places.own[0, 0].numpy(), places.scale[0, 0].numpy()
    gain, bias, eps = norm.weight.numpy(), norm.bias.numpy(), np.float32(norm.eps)
    spread, _ = spreading(second)
    logits = np.empty((len(weights), 4 * (part // columns), 4 * columns), np.float32)
    # A quarter at a time, which stays in the caches.
    for quarter, base in enumerate(of_base.reshape(4, -1, part).numpy()):
        said = product(vectors[:, quarter], shares)
        _normed(said[0].numpy(), own, scale, base, constant[quarter], gain, bias, eps)
        parts = product(spread[None], said)[0].numpy()
        _weighed(parts, second.bias.numpy(), weights.numpy(), quarter, logits)
    return logits


@compiled_fused
def _normed(
    rows: Float32s, own: Float32s, scale: Float32s, of_base: Float32s, constant: Float32s,
    gain: Float32s, bias: Float32s, eps: np.float32,
) -> None:  # fmt: skip
    """Make of `rows`, (channels, p), GELUs of scale * (rows + own * of_base) + constant, normed.

    The norm is that of each place's channels, times `gain`, plus `bias`.
    """
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
            _added(
                rows[channel, start:end], of_base[channel, start:end], own[start:end],
                scale[start:end], constant[channel], row,
            )  # fmt: skip
            _summed(row, mean)
        for i in range(count):
            mean[i] *= share
        for channel in range(channels):
            _squared(block[channel, :count], mean, spread)
        for i in range(count):
            spread[i] = _ONE / np.sqrt(spread[i] * share + eps)
        for channel in range(channels):
            row = block[channel, :count]
            _active(row, mean, spread, gain[channel], bias[channel], rows[channel, start:end])


@compiled_fused
def _added(
    said: Float32s, base: Float32s, own: Float32s, scale: Float32s, constant: np.float32,
    out: Float32s,
) -> None:  # fmt: skip
    for i in range(len(out)):
        out[i] = scale[i] * (said[i] + own[i] * base[i]) + constant


@compiled_fused
def _summed(row: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        total[i] += row[i]


@compiled_fused
def _squared(row: Float32s, mean: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        away = row[i] - mean[i]
        total[i] += away * away


@compiled_fused
def _active(
    row: Float32s, mean: Float32s, scale: Float32s, gain: np.float32, bias: np.float32,
    out: Float32s,
) -> None:  # fmt: skip
    for i in range(len(row)):
        out[i] = gelu((row[i] - mean[i]) * scale[i] * gain + bias)


@compiled_fused
def _weighed(
    parts: Float32s, bias: Float32s, weights: Float32s, quarter: int, logits: Float32s
) -> None:
    """Fill a quarter of `logits`, (m, 4 * rows, 4 * columns), with weighed sums of GELUs.

    These are of parts + bias. parts (4 * channels, p): 2 x 2 of the places' quarters, which are
    themselves one of 2 x 2.
    """
    count, channels = len(weights), len(bias)
    columns = logits.shape[2] // 4
    block = columns * max(1, _BLOCK_OF_SUMS // columns)
    sums = np.empty((3, block), np.float32)
    one, two, three = sums[0], sums[1], sums[2]
    second, third = min(1, count - 1), count - 1  # of one or two masks, one is computed again
    for begin in range(0, parts.shape[1], block):
        end = min(begin + block, parts.shape[1])
        for part in range(4):
            sums[:] = 0
            for channel in range(channels):
                row, added = parts[part * channels + channel, begin:end], bias[channel]
                w1, w2, w3 = weights[0, channel], weights[second, channel], weights[third, channel]
                for i in range(len(row)):
                    active = gelu(row[i] + added)
                    one[i] += w1 * active
                    two[i] += w2 * active
                    three[i] += w3 * active
            left = 2 * (quarter % 2) + part % 2
            for mask in range(count):
                for row_of_places in range((end - begin) // columns):
                    top = 4 * (begin // columns + row_of_places) + 2 * (quarter // 2) + part // 2
                    for i in range(columns):
                        logits[mask, top, 4 * i + left] = sums[mask, row_of_places * columns + i]
