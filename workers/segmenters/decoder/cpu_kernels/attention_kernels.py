"""Compiled cross-attention between tokens and image tokens, on a CPU in float32.

Computes what `image_tokens.FactoredImageTokens` does, a block of image tokens at a time, so that it
stays in the caches from the first score to the last sum. A softmax over the whole image is summed
up block by block, relative to the greatest score so far (M. Milakov and N. Gimelshein, Online
normalizer calculation for softmax, 2018). Image tokens lie along the last axis, b of them a block,
so that many are computed at once without a sum across them. Rows of heads follow one another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workers.numba_jit import jit_fused, jit_loose
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import (
    ADD,
    LOWER,
    OVERWRITE,
    WHOLE,
    add_product_transposed,
    put_product,
)

Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]


class StageBlocks(NamedTuple):
    """The numbers of an `ImageStage`, by blocks; what a stage does not have has no rows.

    keys, values and queries (blocks, heads * d, b) with the constants of the same shape;
    residual_on_base (blocks, layers * heads * (d + 1), b); energy (blocks, 1, b). per_channel is
    1 / c, eps the norm's.
    """

    keys: Float32s
    keys_constant: Float32s
    values: Float32s
    queries: Float32s
    queries_constant: Float32s
    residual_on_base: Float32s
    energy: Float32s
    per_channel: np.float32
    eps: np.float32


class FactorBlocks(NamedTuple):
    """The factors of n prompts' image tokens, see `FactoredImageTokens`, with r residuals each.

    scale and base_share (n, blocks, b); residual_shares (n, blocks, r, b).
    """

    scale: Float32s
    base_share: Float32s
    residual_shares: Float32s


class TokenInputs(NamedTuple):
    """What an update needs of n prompts' tokens: t a head, r residuals after it, r' before.

    keys (n, heads * t, d), which image tokens attend to, and keys_on_residuals (n, heads * t, r'),
    their products with the earlier residuals by the projection to queries. values
    (n, layers * heads * t, d + 1), with a 1 appended, of all layers so far. gram (n, r, r), the
    residuals' products with each other, with those above the diagonal added to those below.

    queries (n, m, d), m rows of heads and tokens, for the updated image tokens, and
    queries_on_residuals (n, m, r), their products with all residuals by the projection to keys.
    """

    keys: Float32s
    keys_on_residuals: Float32s
    values: Float32s
    gram: Float32s
    queries: Float32s
    queries_on_residuals: Float32s


class AttentionSums(NamedTuple):
    """Softmax-weighted sums over the blocks so far, for m queries of n prompts.

    maxima and totals (n, m) are the softmax's; of_base (n, m, d) sums the values of the base,
    of_residuals (n, m, r) the residual shares, both still to be divided by the totals.
    """

    maxima: Float32s
    totals: Float32s
    of_base: Float32s
    of_residuals: Float32s


class Scratch(NamedTuple):
    """Intermediate results in a block: scores (m, b), products (r, b), rows (2, b), powers (b,)."""

    scores: Float32s
    products: Float32s
    rows: Float32s
    powers: Int32s


_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_LEAST = np.float32(-87)  # exp of less is no normal float32
_PER_TWO = np.float32(1 / np.log(2))
_TWO_HIGH = np.float32(0.693359375)  # the logarithm of two, so short that multiples are exact
_TWO_LOW = np.float32(np.log(2) - 0.693359375)
_T2, _T3, _T4, _T5, _T6, _T7 = (
    np.float32(x) for x in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)
)
_HALF = np.float32(0.5)
_BIAS, _SHIFT = np.int32(127), np.int32(23)


@jit_fused
def begin_exponentials(row: Float32s, maxima: Float32s, powers: Int32s) -> None:
    """Compute the exponentials of row - maxima, at most 0, but for powers of two.

    exp(x) = 2^n exp(f), |f| <= log(2) / 2. exp(f), by its Taylor series to f^7, which is about
    float32's precision, replaces the row, and 2^n, as the bits of a float32, the powers.
    """
    for i in range(len(row)):
        x = max(row[i] - maxima[i], _LEAST)
        n = np.floor(x * _PER_TWO + _HALF)
        f = (x - n * _TWO_HIGH) - n * _TWO_LOW
        tail = _T3 + f * (_T4 + f * (_T5 + f * (_T6 + f * _T7)))
        row[i] = _ONE + f * (_ONE + f * (_T2 + f * tail))
        powers[i] = (np.int32(n) + _BIAS) << _SHIFT


@jit_fused
def finish_and_add(row: Float32s, powers: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        row[i] *= powers[i]
        total[i] += row[i]


@jit_loose
def _finish_and_weigh(row: Float32s, powers: Float32s, scale: Float32s) -> np.float32:
    """Replace begun exponentials by their products with `scale`; returns the exponentials' sum."""
    total = np.float32(0)
    for i in range(len(row)):
        power = row[i] * powers[i]
        total += power
        row[i] = power * scale[i]
    return total


@jit_fused
def fill(row: Float32s, number: np.float32) -> None:
    for i in range(len(row)):
        row[i] = number


@jit_fused
def _multiply(row: Float32s, factors: Float32s, out: Float32s) -> None:
    for i in range(len(out)):
        out[i] = row[i] * factors[i]


@jit_fused
def _scale(row: Float32s, factor: np.float32, out: Float32s) -> None:
    for i in range(len(out)):
        out[i] = row[i] * factor


@jit_fused
def _take_larger(row: Float32s, largest: Float32s) -> None:
    for i in range(len(row)):
        largest[i] = max(largest[i], row[i])


@jit_loose
def _find_largest(row: Float32s) -> np.float32:
    largest: np.float32 = row[0]
    for i in range(len(row)):
        largest = max(largest, row[i])
    return largest


@jit_fused
def invert(row: Float32s) -> None:
    for i in range(len(row)):
        row[i] = _ONE / row[i]


@jit_fused
def _add_product(a: Float32s, b: Float32s, total: Float32s) -> None:
    for i in range(len(a)):
        total[i] += a[i] * b[i]


@jit_fused
def _compute_scales(
    spread: Float32s, base_share: Float32s, energy: Float32s, stage: StageBlocks, out: Float32s
) -> None:
    for i in range(len(out)):
        squares = base_share[i] * base_share[i] * energy[i] + spread[i]
        out[i] = _ONE / np.sqrt(squares * stage.per_channel + stage.eps)


@jit_fused
def _put_product_by_heads(
    out: Float32s, a: Float32s, x: Float32s, heads: int, scale: Float32s, overwrite: np.bool_
) -> None:
    """`put_product` of (heads * t, d) and (heads * d, b), for each head."""
    tokens, width = len(a) // heads, a.shape[1]
    for head in range(heads):
        rows = slice(head * tokens, (head + 1) * tokens)
        columns = slice(head * width, (head + 1) * width)
        put_product(out[rows], a[rows], x[columns], scale, overwrite, WHOLE)


@jit_fused
def _add_product_by_heads(out: Float32s, a: Float32s, x: Float32s, heads: int) -> None:
    """out (heads * t, d) += a (heads * t, b) @ x (heads * d, b).T, for each head."""
    tokens, width = len(a) // heads, out.shape[1]
    for head in range(heads):
        rows = slice(head * tokens, (head + 1) * tokens)
        columns = slice(head * width, (head + 1) * width)
        add_product_transposed(out[rows], a[rows], x[columns])


@jit_fused
def _softmax_over_tokens(scores: Float32s, tokens: int, scratch: Scratch) -> None:
    """Softmax of (heads * tokens, b) scores over each head's tokens."""
    maxima, totals, powers = scratch.rows[0], scratch.rows[1], scratch.powers
    for start in range(0, len(scores), tokens):
        _scale(scores[start], _ONE, maxima)
        for row in range(start + 1, start + tokens):
            _take_larger(scores[row], maxima)
        fill(totals, _ZERO)
        for row in range(start, start + tokens):
            begin_exponentials(scores[row], maxima, powers)
            finish_and_add(scores[row], powers.view(np.float32), totals)
        invert(totals)
        for row in range(start, start + tokens):
            _multiply(scores[row], totals, scores[row])


@jit_fused
def _softmax_over_image(
    scores: Float32s, scale: Float32s, n: int, sums: AttentionSums, scratch: Scratch
) -> None:
    """Turn prompt n's scores in a block, (m, b), into softmax weights times `scale`, (b,).

    They are relative to the maxima so far and not yet divided by the totals. Sums over earlier
    blocks are put right where a maximum grows.
    """
    maxima, totals = sums.maxima[n], sums.totals[n]
    of_base, of_residuals = sums.of_base[n], sums.of_residuals[n]
    row_maxima, powers = scratch.rows[0], scratch.powers
    for row in range(len(scores)):
        largest = _find_largest(scores[row])
        if largest > maxima[row]:
            correction = np.exp(maxima[row] - largest)
            maxima[row] = largest
            totals[row] *= correction
            _scale(of_base[row], correction, of_base[row])
            _scale(of_residuals[row], correction, of_residuals[row])
        fill(row_maxima, maxima[row])
        begin_exponentials(scores[row], row_maxima, powers)
        totals[row] += _finish_and_weigh(scores[row], powers.view(np.float32), scale)


@jit_fused
def attend_to_image(queries: Float32s, stage: StageBlocks, sums: AttentionSums) -> None:
    """Let tokens attend to the image's own tokens. queries (n, m, d); adds to `sums`."""
    prompts, rows, width = queries.shape
    blocks, all_width, block = stage.keys.shape
    heads = all_width // width
    scratch = Scratch(
        np.empty((rows, block), np.float32),
        np.empty((0, block), np.float32),
        np.empty((2, block), np.float32),
        np.empty(block, np.int32),
    )
    ones = scratch.rows[1:]
    fill(ones[0], _ONE)
    for b in range(blocks):
        for n in range(prompts):
            _put_product_by_heads(
                scratch.scores, queries[n], stage.keys[b], heads, ones[:0], OVERWRITE
            )
            _softmax_over_image(scratch.scores, ones[0], n, sums, scratch)
            _add_product_by_heads(sums.of_base[n], scratch.scores, stage.values[b], heads)


@jit_fused
def update_and_attend(
    before: StageBlocks, after: StageBlocks, tokens: TokenInputs, old: FactorBlocks,
    new: FactorBlocks, sums: AttentionSums,
) -> None:  # fmt: skip
    """Update image tokens by their attention to tokens, and let tokens attend to the new ones.

    From stage `before` and factors `old` to stage `after` and factors `new`, which are filled; adds
    to `sums`. The image's own tokens have no residuals: nothing else is read of their factors.
    """
    prompts = len(tokens.keys)
    blocks, _, block = before.queries.shape
    scratch = Scratch(
        np.empty((tokens.queries.shape[1], block), np.float32),
        np.empty((new.residual_shares.shape[2], block), np.float32),
        np.empty((2, block), np.float32),
        np.empty(block, np.int32),
    )
    for b in range(blocks):
        for n in range(prompts):
            _attend_to_tokens(n, b, before, tokens, old, new, scratch)
            _normalise(n, b, after, tokens, new, scratch)
            _attend_to_block(n, b, after, tokens, new, sums, scratch)


@jit_fused
def _attend_to_tokens(
    n: int, b: int, before: StageBlocks, tokens: TokenInputs, old: FactorBlocks, new: FactorBlocks,
    scratch: Scratch,
) -> None:  # fmt: skip
    """Add what an image block takes from the tokens' residuals; the norm's scale is still missing.

    With q for the projection to queries, the scores are
    keys @ (scale * (base_share * q(base) + q(residuals) @ residual_shares) + constant).
    """
    earlier = old.residual_shares.shape[2]
    shares, base_share = new.residual_shares[n, b], new.base_share[n, b : b + 1]
    keys, weights = tokens.keys[n], shares[earlier:]
    heads = before.queries.shape[1] // keys.shape[1]
    if earlier:
        old_shares, scale = old.residual_shares[n, b], old.scale[n, b : b + 1]
        old_base_share = old.base_share[n, b : b + 1]
        _put_product_by_heads(weights, keys, before.queries[b], heads, old_base_share, OVERWRITE)
        put_product(weights, tokens.keys_on_residuals[n], old_shares, scale, ADD, WHOLE)
        _put_product_by_heads(weights, keys, before.queries_constant[b], heads, scale[:0], ADD)
        for row in range(earlier):
            _multiply(old_shares[row], scale[0], shares[row])
        _multiply(old_base_share[0], scale[0], base_share[0])
    else:
        fill(base_share[0], _ONE)
        _put_product_by_heads(weights, keys, before.queries[b], heads, base_share[:0], OVERWRITE)
    _softmax_over_tokens(weights, len(weights) // heads, scratch)


@jit_fused
def _normalise(
    n: int, b: int, after: StageBlocks, tokens: TokenInputs, new: FactorBlocks, scratch: Scratch
) -> None:
    """Compute the norm's scale in a block; see `image_tokens._normalise`."""
    shares, base_share = new.residual_shares[n, b], new.base_share[n, b : b + 1]
    products, spread, twice = scratch.products, scratch.rows[0], scratch.rows[1:]
    _scale(base_share[0], _TWO, twice[0])
    values = tokens.values[n]
    heads = after.residual_on_base.shape[1] // values.shape[1]
    _put_product_by_heads(products, values, after.residual_on_base[b], heads, twice, OVERWRITE)
    put_product(products, tokens.gram[n], shares, twice[:0], ADD, LOWER)
    fill(spread, _ZERO)
    for row in range(len(shares)):
        _add_product(shares[row], products[row], spread)
    _compute_scales(spread, base_share[0], after.energy[b, 0], after, new.scale[n, b])


@jit_fused
def _attend_to_block(
    n: int, b: int, after: StageBlocks, tokens: TokenInputs, new: FactorBlocks,
    sums: AttentionSums, scratch: Scratch,
) -> None:  # fmt: skip
    """Add to the sums what tokens take from a block of updated image tokens."""
    shares, base_share = new.residual_shares[n, b], new.base_share[n, b : b + 1]
    scale, scores, queries = new.scale[n, b : b + 1], scratch.scores, tokens.queries[n]
    heads = after.keys.shape[1] // queries.shape[1]
    _put_product_by_heads(scores, queries, after.keys[b], heads, base_share, OVERWRITE)
    put_product(scores, tokens.queries_on_residuals[n], shares, scale, ADD, WHOLE)
    _put_product_by_heads(scores, queries, after.keys_constant[b], heads, base_share[:0], ADD)
    _softmax_over_image(scores, scale[0], n, sums, scratch)
    add_product_transposed(sums.of_residuals[n], scores, shares)
    if len(shares) > tokens.keys.shape[1]:  # else all base shares are 1
        for row in range(len(scores)):
            _multiply(scores[row], base_share[0], scores[row])
    _add_product_by_heads(sums.of_base[n], scores, after.values[b], heads)
