"""The kernels of `attention`, and what calls them."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# ruff: noqa: N803 (constants of a kernel are named so)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from workers.segmenters.decoder.image_tokens import FactoredImageTokens, ImageStage, ProjectedImage

_TOKENS = 64  # of the image, at a time
_LEAST = 16  # rows or columns of a product
_WARPS = 8
_STAGES = 2

SHARED_BYTES = 160 * 1024
"""What a block's tiles take of a device's shared memory at the released models' width."""


def attend(
    queries: Tensor,
    on_residuals: Tensor,
    keys: ProjectedImage,
    values: Tensor,
    before: FactoredImageTokens | None,
) -> tuple[Tensor, Tensor]:
    """Attention-weighted means over the image tokens.

    queries (n, heads, t, d), on_residuals (n, heads * t, r): their products with the residuals of
    `before`; values (heads, h * w, d). Returns the means of the values, (n, heads, t, d), and of
    the shares of each residual, (n, heads * t, r).
    """
    count, heads, few, narrow = queries.shape
    residual_count, places = on_residuals.shape[2], values.shape[1]
    of_base = torch.empty_like(queries)
    of_residuals = torch.empty_like(on_residuals)
    # Nothing is read of what is not there.
    shares, scale, base_share = (
        (before.residual_shares, before.scale, before.base_share)
        if before is not None
        else (queries, queries, queries)
    )
    constant = keys.tokens if keys.constant is None else keys.constant
    _attend[(count,)](
        queries, on_residuals, keys.tokens.contiguous(), constant.contiguous(), values, shares,
        scale, base_share, of_base, of_residuals,
        heads, few, narrow, residual_count, places,
        FACTORED=before is not None, **_sizes(heads, few, narrow, residual_count),
        num_warps=_WARPS, num_stages=_STAGES,
    )  # fmt: skip
    return of_base, of_residuals


def update(
    keys: Tensor,
    on_residuals: Tensor,
    image: ProjectedImage,
    before: FactoredImageTokens | None,
    residuals: Tensor,
    after: ImageStage,
) -> tuple[Tensor, Tensor, Tensor]:
    """The image tokens' factors after they have attended to prompt tokens, and the norm.

    keys (n, heads, t, d), on_residuals (n, heads * t, r) as in `attend`; residuals (n, r + heads *
    t, c) are those after. Returns shares (n, r + heads * t, h * w), base_share and scale
    (n, 1, h * w).
    """
    count, heads, few, narrow = keys.shape
    known, places = on_residuals.shape[2], len(after.base)
    shares = keys.new_empty(count, known + heads * few, places)
    base_share, scale = (keys.new_empty(count, 1, places) for _ in range(2))
    gram = (residuals @ residuals.mT).contiguous()
    # As `attend` does.
    old = (
        (before.residual_shares, before.scale, before.base_share)
        if before is not None
        else (keys, keys, keys)
    )
    constant = image.tokens if image.constant is None else image.constant
    wide = residuals.shape[2]
    _update[(count, triton.cdiv(places, _TOKENS))](
        keys, on_residuals, image.tokens.contiguous(), constant.contiguous(), *old,
        residuals.contiguous(), gram, after.base.contiguous(), after.energy, shares, base_share,
        scale, heads, few, narrow, known, places, wide, after.eps,
        FACTORED=before is not None, WIDE=_LEAST * 2, **_sizes(heads, few, narrow, known),
        num_warps=_WARPS, num_stages=_STAGES,
    )  # fmt: skip
    return shares, base_share, scale


def _sizes(heads: int, few: int, narrow: int, residual_count: int) -> dict[str, int]:
    """The sides of tiles: powers of two, at least what a product takes."""
    most = triton.next_power_of_2(few)
    return {
        "HEADS": triton.next_power_of_2(heads),
        "FEW": most,
        "NARROW": max(triton.next_power_of_2(heads * narrow), _LEAST),
        "RESIDUALS": max(triton.next_power_of_2(residual_count), _LEAST),
        "TOKENS": _TOKENS,
    }


@triton.jit
def _load_heads(rows, number, heads, few, narrow, HEADS: tl.constexpr, FEW: tl.constexpr,
                NARROW: tl.constexpr):  # fmt: skip
    """Prompt tokens (heads, t, d) as a block-diagonal matrix: (heads * t, heads * d)."""
    row = tl.arange(0, HEADS * FEW)
    column = tl.arange(0, NARROW)
    head, token = row // FEW, row % FEW
    exists = (head < heads) & (token < few)
    own = exists[:, None] & (column[None, :] // narrow == head[:, None])
    at = ((number * heads + head) * few + token)[:, None] * narrow + (column % narrow)[None, :]
    return tl.load(rows + at, mask=own, other=0.0)


@triton.jit
def _load_on_residuals(on_residuals, number, heads, few, residual_count, HEADS: tl.constexpr,
                       FEW: tl.constexpr, RESIDUALS: tl.constexpr):  # fmt: skip
    row = tl.arange(0, HEADS * FEW)
    k = tl.arange(0, RESIDUALS)
    head, token = row // FEW, row % FEW
    exists = (head < heads) & (token < few)
    at = (number * heads * few + head * few + token)[:, None] * residual_count + k[None, :]
    return tl.load(
        on_residuals + at, mask=exists[:, None] & (k < residual_count)[None, :], other=0.0
    )


@triton.jit
def _load_shares(shares, number, place, valid, residual_count, places, RESIDUALS: tl.constexpr):
    """(r, tokens) of a prompt."""
    k = tl.arange(0, RESIDUALS)
    at = (number * residual_count + k)[:, None] * places + place[None, :]
    return tl.load(shares + at, mask=(k < residual_count)[:, None] & valid[None, :], other=0.0)


@triton.jit
def _load_image(tensor, place, valid, height, places, NARROW: tl.constexpr):
    """(heads * d, tokens) of what all prompts share."""
    c = tl.arange(0, NARROW)
    at = c[:, None] * places + place[None, :]
    return tl.load(tensor + at, mask=(c < height)[:, None] & valid[None, :], other=0.0)


@triton.jit
def _attend(
    queries, on_residuals, keys, constant, values, shares, scale, base_share, of_base,
    of_residuals, heads, few, narrow, residual_count, places,
    FACTORED: tl.constexpr, HEADS: tl.constexpr, FEW: tl.constexpr, NARROW: tl.constexpr,
    RESIDUALS: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    """All heads' and tokens' means over the image tokens of one prompt."""
    number = tl.program_id(0).to(tl.int64)
    asked = _load_heads(queries, number, heads, few, narrow, HEADS, FEW, NARROW)
    if FACTORED:
        on_shares = _load_on_residuals(
            on_residuals, number, heads, few, residual_count, HEADS, FEW, RESIDUALS
        )
        sum_shares = tl.zeros((HEADS * FEW, RESIDUALS), tl.float32)
    most = tl.full((HEADS * FEW,), -1e30, tl.float32)
    total = tl.zeros((HEADS * FEW,), tl.float32)
    sum_values = tl.zeros((HEADS * FEW, NARROW), tl.float32)
    c = tl.arange(0, NARROW)
    for start in range(0, places, TOKENS):
        place = start + tl.arange(0, TOKENS)
        valid = place < places
        tile = _load_image(keys, place, valid, heads * narrow, places, NARROW)
        scores = tl.dot(asked, tile)
        if FACTORED:
            share = _load_shares(shares, number, place, valid, residual_count, places, RESIDUALS)
            at = number * places + place
            of_scale = tl.load(scale + at, mask=valid, other=0.0).to(tl.float32)[None, :]
            of_share = tl.load(base_share + at, mask=valid, other=0.0).to(tl.float32)[None, :]
            scores = (scores * of_share + tl.dot(on_shares, share)) * of_scale
            added = _load_image(constant, place, valid, heads * narrow, places, NARROW)
            scores += tl.dot(asked, added)
        scores = tl.where(valid[None, :], scores, -1e30)
        highest = tl.maximum(most, tl.max(scores, axis=1))
        faded = tl.exp(most - highest)
        weights = tl.exp(scores - highest[:, None])
        total = total * faded + tl.sum(weights, axis=1)
        most = highest
        if FACTORED:
            weights *= of_scale
            sum_shares = sum_shares * faded[:, None] + tl.dot(
                weights.to(share.dtype), tl.trans(share)
            )
            weights *= of_share
        # Values lie (heads, tokens, d).
        value_at = ((c // narrow)[None, :] * places + place[:, None]) * narrow
        value = tl.load(
            values + value_at + (c % narrow)[None, :],
            mask=valid[:, None] & (c < heads * narrow)[None, :], other=0.0,
        )  # fmt: skip
        sum_values = sum_values * faded[:, None] + tl.dot(weights.to(value.dtype), value)
    row = tl.arange(0, HEADS * FEW)
    head, token = row // FEW, row % FEW
    exists = (head < heads) & (token < few)
    own = exists[:, None] & (c[None, :] // narrow == head[:, None])
    at = ((number * heads + head) * few + token)[:, None] * narrow + (c % narrow)[None, :]
    tl.store(of_base + at, (sum_values / total[:, None]).to(of_base.dtype.element_ty), mask=own)
    if FACTORED:
        k = tl.arange(0, RESIDUALS)
        at = (number * heads * few + head * few + token)[:, None] * residual_count + k[None, :]
        tl.store(
            of_residuals + at,
            (sum_shares / total[:, None]).to(of_residuals.dtype.element_ty),
            mask=exists[:, None] & (k < residual_count)[None, :],
        )


@triton.jit
def _multiply_rows(residuals, base, number, row_at, row_exists, all_rows, place, valid, wide,
                   ROWS: tl.constexpr, TOKENS: tl.constexpr, WIDE: tl.constexpr):  # fmt: skip
    """Products of some residuals of a prompt with the image's base: (rows, tokens)."""
    products = tl.zeros((ROWS, TOKENS), tl.float32)
    for start in range(0, wide, WIDE):
        c = start + tl.arange(0, WIDE)
        left = tl.load(
            residuals + (number * all_rows + row_at)[:, None] * wide + c[None, :],
            mask=row_exists[:, None] & (c < wide)[None, :], other=0.0,
        )  # fmt: skip
        right = tl.load(
            base + place[None, :] * wide + c[:, None],
            mask=valid[None, :] & (c < wide)[:, None], other=0.0,
        )  # fmt: skip
        products += tl.dot(left, right)
    return products


@triton.jit
def _load_gram(gram, number, row_at, row_exists, column_at, column_exists, all_rows):
    at = (number * all_rows + row_at)[:, None] * all_rows + column_at[None, :]
    return tl.load(gram + at, mask=row_exists[:, None] & column_exists[None, :], other=0.0)


@triton.jit
def _update(
    keys, on_residuals, tokens, constant, shares, scale, base_share, residuals, gram, base,
    energy, new_shares, new_base_share, new_scale,
    heads, few, narrow, known, places, wide, eps,
    FACTORED: tl.constexpr, WIDE: tl.constexpr, HEADS: tl.constexpr, FEW: tl.constexpr,
    NARROW: tl.constexpr, RESIDUALS: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    """Some image tokens of one prompt: their weights for its tokens, and the norm's scale."""
    number = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    valid = place < places
    asking = _load_heads(keys, number, heads, few, narrow, HEADS, FEW, NARROW)
    tile = _load_image(tokens, place, valid, heads * narrow, places, NARROW)
    scores = tl.dot(asking, tile)
    at = number * places + place
    of_base = tl.full((TOKENS,), 1.0, tl.float32)
    if FACTORED:
        share = _load_shares(shares, number, place, valid, known, places, RESIDUALS)
        of_scale = tl.load(scale + at, mask=valid, other=0.0).to(tl.float32)
        of_share = tl.load(base_share + at, mask=valid, other=0.0).to(tl.float32)
        on_shares = _load_on_residuals(
            on_residuals, number, heads, few, known, HEADS, FEW, RESIDUALS
        )
        scores = (scores * of_share[None, :] + tl.dot(on_shares, share)) * of_scale[None, :]
        added = _load_image(constant, place, valid, heads * narrow, places, NARROW)
        scores += tl.dot(asking, added)
        of_base = of_share * of_scale
    row = tl.arange(0, HEADS * FEW)
    head, token = row // FEW, row % FEW
    exists = (head < heads) & (token < few)
    scores = tl.where(exists[:, None], scores, -1e30)
    by_heads = tl.reshape(scores, (HEADS, FEW, TOKENS))
    by_heads = tl.exp(by_heads - tl.max(by_heads, axis=1, keep_dims=True))
    by_heads = by_heads / tl.sum(by_heads, axis=1, keep_dims=True)
    weights = tl.where(exists[:, None], tl.reshape(by_heads, (HEADS * FEW, TOKENS)), 0.0)
    added_shares = weights.to(new_shares.dtype.element_ty)
    all_rows = known + heads * few
    new_row = known + head * few + token
    tl.store(
        new_shares + (number * all_rows + new_row)[:, None] * places + place[None, :],
        added_shares, mask=exists[:, None] & valid[None, :],
    )  # fmt: skip
    on_base = _multiply_rows(
        residuals, base, number, new_row, exists, all_rows, place, valid, wide,
        HEADS * FEW, TOKENS, WIDE,
    )  # fmt: skip
    products = 2.0 * of_base[None, :] * on_base + tl.dot(
        _load_gram(gram, number, new_row, exists, new_row, exists, all_rows), added_shares
    )
    if FACTORED:
        k = tl.arange(0, RESIDUALS)
        is_known = k < known
        scaled = (share.to(tl.float32) * of_scale[None, :]).to(new_shares.dtype.element_ty)
        tl.store(
            new_shares + (number * all_rows + k)[:, None] * places + place[None, :],
            scaled, mask=is_known[:, None] & valid[None, :],
        )  # fmt: skip
        products += 2.0 * tl.dot(
            _load_gram(gram, number, new_row, exists, k, is_known, all_rows), scaled
        )
        on_base = _multiply_rows(
            residuals, base, number, k, is_known, all_rows, place, valid, wide,
            RESIDUALS, TOKENS, WIDE,
        )  # fmt: skip
        of_known = 2.0 * of_base[None, :] * on_base + tl.dot(
            _load_gram(gram, number, k, is_known, k, is_known, all_rows), scaled
        )
        spread = tl.sum(scaled.to(tl.float32) * of_known, axis=0)
    else:
        spread = tl.zeros((TOKENS,), tl.float32)
    spread += tl.sum(added_shares.to(tl.float32) * products, axis=0)
    of_base = of_base.to(new_base_share.dtype.element_ty)
    own = of_base.to(tl.float32)
    variance = (own * own * tl.load(energy + place, mask=valid, other=0.0) + spread) / wide
    tl.store(new_base_share + at, of_base, mask=valid)
    found = 1.0 / tl.sqrt(variance + eps)
    tl.store(new_scale + at, found.to(new_scale.dtype.element_ty), mask=valid)
