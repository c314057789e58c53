"""Upscales image tokens to the logits of the masks wanted in one kernel of Triton, on CUDA.

What `upscaling` does in a dozen passes over tensors of 64 x 64 x 256 numbers a prompt and more, is
done here for a few image tokens at a time, in registers: the product with the residuals, the norm,
both activations, the second linear layer, and the product with each mask's weights.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# ruff: noqa: N803 (constants of a kernel are named so)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.segmenters.decoder.image_tokens import FactoredImageTokens
from workers.segmenters.decoder.torch_decoder import BoolMatrix
from workers.segmenters.decoder.upscaling import to_linear

_TOKENS = 64  # of the image, at a time
_RESIDUALS = 32  # at a time
_WARPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class UpscalingWeights:
    """Those of SAM's `output_upscaling`, of widths c / 4 and c / 8, as the kernel reads them.

    first (c, 4 * c / 4), first_bias (4 * c / 4,); norm and norm_bias float32 (c / 4,); second
    (c / 4, 4 * c / 8), second_bias float32 (4 * c / 8,).
    """

    first: Tensor
    first_bias: Tensor
    norm: Tensor
    norm_bias: Tensor
    eps: float
    second: Tensor
    second_bias: Tensor

    @staticmethod
    def of(decoder: MaskDecoder) -> UpscalingWeights:
        first, norm, _, second, _ = decoder.output_upscaling
        (weight, bias), (narrow, narrow_bias) = to_linear(first), to_linear(second)
        return UpscalingWeights(
            weight.T.contiguous(),
            bias,
            norm.weight.float(),
            norm.bias.float(),
            norm.eps,
            narrow.T.contiguous(),
            narrow_bias.float(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class WantedMasks:
    """Which of n prompts' masks are wanted.

    prompts int32 (k,): those of which any is. places int32 (k, 3): which of the `count` wanted
    masks each of theirs is, -1 where it is not wanted.
    """

    prompts: Tensor
    places: Tensor
    count: int

    @staticmethod
    def of(chosen: BoolMatrix, device: torch.device) -> WantedMasks:
        """Those in bool (n, 3), in order. Nothing on the device is waited for."""
        prompts = np.flatnonzero(chosen.any(axis=1)).astype(np.int32)
        places = np.full(chosen.shape, -1, np.int32)
        count = int(np.count_nonzero(chosen))
        places[chosen] = np.arange(count)
        own = torch.from_numpy(places[prompts]).to(device)
        return WantedMasks(torch.from_numpy(prompts).to(device), own, count)


def upscale_masks(
    weights: UpscalingWeights,
    tokens: FactoredImageTokens,
    base: Tensor,
    mask_weights: Tensor,
    wanted: WantedMasks,
    columns: int,
) -> Tensor:
    """The logits of the m wanted masks of n prompts: float32 (m, 4 * rows, 4 * columns).

    base (4 * c / 4, p), of the first p image tokens, see `upscale_base`; mask_weights
    (n, 3, c / 8).
    """
    used = base.shape[1]
    rows = used // columns
    logits = torch.empty(wanted.count, 4 * rows, 4 * columns, device=base.device)
    residuals = (tokens.residuals @ weights.first).contiguous()
    constant = (tokens.stage.bias @ weights.first).float() + weights.first_bias.float()
    wide, narrow = weights.norm.numel(), weights.second.shape[1] // 4
    _upscale[(len(wanted.prompts), triton.cdiv(used, _TOKENS))](
        tokens.residual_shares, tokens.base_share, tokens.scale, residuals, base.contiguous(),
        constant, weights.norm, weights.norm_bias, weights.second, weights.second_bias,
        mask_weights.contiguous(), wanted.prompts, wanted.places, logits,
        used, tokens.residual_shares.shape[2], tokens.residual_shares.shape[1], columns, rows,
        weights.eps, wide, narrow,
        WIDE=triton.next_power_of_2(wide), NARROW=triton.next_power_of_2(narrow),
        TOKENS=_TOKENS, RESIDUALS=_RESIDUALS,
        PRECISION="tf32x3",  # of float32, as exact as needed; other types are not concerned
        num_warps=_WARPS,
    )  # fmt: skip
    return logits


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _upscale(
    shares,
    base_share,
    scale,
    residuals,
    base,
    constant,
    norm,
    norm_bias,
    second,
    second_bias,
    mask_weights,
    prompts,
    places,
    logits,
    used,
    all_tokens,
    residual_count,
    columns,
    rows,
    eps,
    wide,
    narrow,
    WIDE: tl.constexpr,
    NARROW: tl.constexpr,
    TOKENS: tl.constexpr,
    RESIDUALS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A prompt's wanted masks at the 4 x 4 pixels of each of some image tokens."""
    chosen = tl.program_id(0)
    prompt = tl.load(prompts + chosen).to(tl.int64)
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    valid = token < used
    c = tl.arange(0, WIDE)
    is_wide = c < wide
    column = tl.arange(0, 4 * NARROW)
    quarter, of_quarter = column // NARROW, column % NARROW
    is_narrow = of_quarter < narrow
    narrow_at = quarter * narrow + of_quarter
    second_tile = tl.load(
        second + c[:, None] * (4 * narrow) + narrow_at[None, :],
        mask=is_wide[:, None] & is_narrow[None, :], other=0.0,
    )  # fmt: skip
    second_add = tl.load(second_bias + narrow_at, mask=is_narrow, other=0.0)
    gain = tl.load(norm + c, mask=is_wide, other=0.0)
    shift = tl.load(norm_bias + c, mask=is_wide, other=0.0)
    of_base = tl.load(base_share + prompt * all_tokens + token, mask=valid, other=0.0)
    of_scale = tl.load(scale + prompt * all_tokens + token, mask=valid, other=0.0)
    of_base, of_scale = of_base.to(tl.float32)[:, None], of_scale.to(tl.float32)[:, None]
    four = tl.arange(0, 4)
    for half in range(4):  # unrolled, it takes four times as long to compile
        at = half * wide + c
        rows_of_half = tl.zeros((TOKENS, WIDE), tl.float32)
        for start in range(0, residual_count, RESIDUALS):
            k = start + tl.arange(0, RESIDUALS)
            exists = k < residual_count
            share = tl.load(
                shares + (prompt * residual_count + k[:, None]) * all_tokens + token[None, :],
                mask=exists[:, None] & valid[None, :], other=0.0,
            )  # fmt: skip
            residual = tl.load(
                residuals + (prompt * residual_count + k[:, None]) * (4 * wide) + at[None, :],
                mask=exists[:, None] & is_wide[None, :], other=0.0,
            )  # fmt: skip
            rows_of_half += tl.dot(tl.trans(share), residual, input_precision=PRECISION)
        of_image = tl.load(
            base + at[:, None] * used + token[None, :],
            mask=is_wide[:, None] & valid[None, :], other=0.0,
        )  # fmt: skip
        rows_of_half += of_base * tl.trans(of_image).to(tl.float32)
        added = tl.load(constant + at, mask=is_wide, other=0.0)
        x = rows_of_half * of_scale + added[None, :]
        x = tl.where(is_wide[None, :], x, 0.0)
        mean = tl.sum(x, axis=1)[:, None] / wide
        away = tl.where(is_wide[None, :], x - mean, 0.0)
        variance = tl.sum(away * away, axis=1)[:, None] / wide
        x = _gelu(away * (1.0 / tl.sqrt(variance + eps)) * gain[None, :] + shift[None, :])
        x = tl.dot(x.to(second_tile.dtype), second_tile, input_precision=PRECISION)
        x = _gelu(x + second_add[None, :])
        y = (token // columns)[:, None] * 4 + (half // 2) * 2 + (four // 2)[None, :]
        left = (token % columns)[:, None] * 4 + (half % 2) * 2 + (four % 2)[None, :]
        for output in tl.static_range(3):
            place = tl.load(places + 3 * chosen + output)
            if place >= 0:
                weight = tl.load(
                    mask_weights + (prompt * 3 + output) * narrow + of_quarter,
                    mask=is_narrow, other=0.0,
                )  # fmt: skip
                products = x * weight.to(tl.float32)[None, :]
                found = tl.sum(tl.reshape(products, (TOKENS, 4, NARROW)), axis=2)
                target = logits + (place.to(tl.int64) * 4 * rows + y) * (4 * columns) + left
                tl.store(target, found, mask=valid[:, None])
