"""Turns of the decoder on a CPU in float32: places take what tokens say, and are read.

The same as `places.Written`, a block of places after the other. Softmaxes over all places are told
by blocks as well (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018). Places
lie along the last axis, so that many are done at once without a sum across them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workers.segmenters.decoder.cpu_kernels.matmul_tiles import add_sums, put_product
from workers.segmenters.numba_jit import compiled_fused, compiled_loosely

Float32s = npt.NDArray[np.float32]
Int32s = npt.NDArray[np.int32]

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


@compiled_fused
def begun_exponentials(row: Float32s, less: Float32s, powers: Int32s) -> None:
    """Exponentials of row - less, up to 0, to about float32's precision, but for powers of two.

    2^n exp(f), |f| <= log(2) / 2: the latter, by its Taylor series to f^7, takes the row's place,
    and the former that of powers, as bits of a float32.
    """
    for i in range(len(row)):
        x = max(row[i] - less[i], _LEAST)
        n = np.floor(x * _PER_TWO + _HALF)
        f = (x - n * _TWO_HIGH) - n * _TWO_LOW
        tail = _T3 + f * (_T4 + f * (_T5 + f * (_T6 + f * _T7)))
        row[i] = _ONE + f * (_ONE + f * (_T2 + f * tail))
        powers[i] = (np.int32(n) + _BIAS) << _SHIFT


@compiled_fused
def _ended_and_added(row: Float32s, powers: Float32s, total: Float32s) -> None:
    for i in range(len(row)):
        row[i] *= powers[i]
        total[i] += row[i]


@compiled_loosely
def _ended(row: Float32s, powers: Float32s, by: Float32s) -> np.float32:
    """Make of begun exponentials these times `by`. Their sum."""
    total = np.float32(0)
    for i in range(len(row)):
        power = row[i] * powers[i]
        total += power
        row[i] = power * by[i]
    return total


@compiled_fused
def _fill(row: Float32s, number: np.float32) -> None:
    for i in range(len(row)):
        row[i] = number


@compiled_fused
def _multiplied(row: Float32s, by: Float32s, out: Float32s) -> None:
    for i in range(len(out)):
        out[i] = row[i] * by[i]


@compiled_fused
def _scaled(row: Float32s, by: np.float32, out: Float32s) -> None:
    for i in range(len(out)):
        out[i] = row[i] * by


@compiled_fused
def _larger(row: Float32s, most: Float32s) -> None:
    for i in range(len(row)):
        most[i] = max(most[i], row[i])


@compiled_loosely
def _most(row: Float32s) -> np.float32:
    most: np.float32 = row[0]
    for i in range(len(row)):
        most = max(most, row[i])
    return most


@compiled_fused
def _inverse(row: Float32s) -> None:
    for i in range(len(row)):
        row[i] = _ONE / row[i]


@compiled_fused
def _plus_product(a: Float32s, b: Float32s, total: Float32s) -> None:
    for i in range(len(a)):
        total[i] += a[i] * b[i]


@compiled_fused
def _scales(
    spread: Float32s, own: Float32s, energy: Float32s, share: np.float32, eps: np.float32,
    out: Float32s,
) -> None:  # fmt: skip
    for i in range(len(out)):
        variance = (own[i] * own[i] * energy[i] + spread[i]) * share
        out[i] = _ONE / np.sqrt(variance + eps)


@compiled_fused
def _by_heads(
    out: Float32s, a: Float32s, x: Float32s, heads: int, by: Float32s, fresh: bool
) -> None:
    """`put_product` of (heads * t, d) and (heads * d, b), each head by itself."""
    tokens, width = len(a) // heads, a.shape[1]
    for head in range(heads):
        few = slice(head * tokens, (head + 1) * tokens)
        put_product(out[few], a[few], x[head * width : (head + 1) * width], by, fresh, False)


@compiled_fused
def _sums_by_heads(out: Float32s, a: Float32s, x: Float32s, heads: int) -> None:
    """out (heads * t, d) += a (heads * t, b) @ x (heads * d, b).T, each head by itself."""
    tokens, width = len(a) // heads, out.shape[1]
    for head in range(heads):
        few = slice(head * tokens, (head + 1) * tokens)
        add_sums(out[few], a[few], x[head * width : (head + 1) * width])


@compiled_fused
def _shared_by_tokens(scores: Float32s, tokens: int, rows: Float32s, powers: Int32s) -> None:
    """Softmax of (heads * tokens, b) scores over each head's tokens. rows (2, b): in between."""
    most, total = rows[0], rows[1]
    for start in range(0, len(scores), tokens):
        _scaled(scores[start], _ONE, most)
        for row in range(start + 1, start + tokens):
            _larger(scores[row], most)
        _fill(total, _ZERO)
        for row in range(start, start + tokens):
            begun_exponentials(scores[row], most, powers)
            _ended_and_added(scores[row], powers.view(np.float32), total)
        _inverse(total)
        for row in range(start, start + tokens):
            _multiplied(scores[row], total, scores[row])


@compiled_fused
def _shared_by_places(
    scores: Float32s, by: Float32s, most: Float32s, totals: Float32s, of_image: Float32s,
    of_shares: Float32s, powers: Int32s, less: Float32s,
) -> None:  # fmt: skip
    """Make of scores, (m, b), what a softmax over places weighs these with, times `by`, (b,).

    But for the softmax's total. most and totals (m,) and what was read, (m, ...), are those of the
    blocks before, and are put right. powers and less (b,): in between.
    """
    for row in range(len(scores)):
        now = _most(scores[row])
        if now > most[row]:
            before = np.exp(most[row] - now)
            most[row] = now
            totals[row] *= before
            _scaled(of_image[row], before, of_image[row])
            _scaled(of_shares[row], before, of_shares[row])
        _fill(less, most[row])
        begun_exponentials(scores[row], less, powers)
        totals[row] += _ended(scores[row], powers.view(np.float32), by)


@compiled_fused
def read(
    asked: Float32s, keys: Float32s, values: Float32s,
    most: Float32s, totals: Float32s, of_image: Float32s,
) -> None:  # fmt: skip
    """Read an image's own places: of_image (n, heads * t, d), and totals (n, heads * t), 0 before.

    asked (n, heads * t, d); keys and values (blocks, heads * d, b). What is read is of_image by
    totals.
    """
    prompts, rows, width = asked.shape
    blocks, every, block = keys.shape
    heads = every // width
    scores, spare = np.empty((rows, block), np.float32), np.empty((2, block), np.float32)
    less, ones = spare[0], spare[1:]
    _fill(ones[0], _ONE)
    powers = np.empty(block, np.int32)
    none = np.empty((rows, 0), np.float32)
    for b in range(blocks):
        for n in range(prompts):
            _by_heads(scores, asked[n], keys[b], heads, ones[:0], True)
            _shared_by_places(scores, ones[0], most[n], totals[n], of_image[n], none, powers, less)
            _sums_by_heads(of_image[n], scores, values[b], heads)


@compiled_fused
def write(
    heads: int, channels: int, eps: np.float32,
    writing: Float32s, writing_said: Float32s, queries: Float32s, queries_constant: Float32s,
    old_shares: Float32s, old_scale: Float32s, old_own: Float32s,
    values: Float32s, heard: Float32s, gram: Float32s, energy: Float32s,
    reading: Float32s, reading_said: Float32s, keys: Float32s, keys_constant: Float32s,
    level_values: Float32s,
    shares: Float32s, scale: Float32s, own: Float32s,
    most: Float32s, totals: Float32s, of_image: Float32s, of_shares: Float32s,
) -> None:  # fmt: skip
    """Places take what tokens tell, are normed, and are read: all from `shares` on is filled,
    the last three being 0 before.

    Of n prompts, and places by blocks of b; r shares so far, r + heads * t with those to come. What
    is not told here is as in `places.Written` and `places.Level`.

    writing (n, heads * t, d), what tokens ask of the places by `queries`, (blocks, heads * d, b),
    and writing_said (n, heads * t, r), by their shares, old_shares (n, blocks, r, b). old_scale,
    old_own (n, blocks, b). Of the image's own places, r is 0, and the latter are not looked at.

    values (n, layers * heads * t, d + 1); heard (blocks, layers * heads * (d + 1), b); gram
    (n, r + heads * t, as many), the products of what was said with each other, in such a way that
    the upper ones are added to the lower; energy (blocks, 1, b).

    reading (n, heads * t', d), keys, keys_constant and level_values (blocks, heads * d, b) and
    reading_said (n, heads * t', r + heads * t): the same for what tokens read then. They read
    of_image (n, heads * t', d) and of_shares (n, heads * t', r + heads * t) by totals
    (n, heads * t').
    """
    prompts, written, _ = writing.shape
    blocks, _, block = queries.shape
    tokens = written // heads
    before = old_shares.shape[2]
    count = before + written
    asked = reading.shape[1]
    share = _ONE / np.float32(channels)
    agreed = np.empty((count, block), np.float32)
    scores = np.empty((asked, block), np.float32)
    rows = np.empty((2, block), np.float32)
    spread, twice = rows[0], rows[1:]
    powers = np.empty(block, np.int32)
    for b in range(blocks):
        for n in range(prompts):
            every, now_scale, now_own = shares[n, b], scale[n, b : b + 1], own[n, b : b + 1]
            new = every[before:]
            if before:
                old_every, was = old_shares[n, b], old_scale[n, b : b + 1]
                _by_heads(new, writing[n], queries[b], heads, old_own[n, b : b + 1], True)
                put_product(new, writing_said[n], old_every, was, False, False)
                _by_heads(new, writing[n], queries_constant[b], heads, was[:0], False)
                for row in range(before):
                    _multiplied(old_every[row], was[0], every[row])
                _multiplied(old_own[n, b], was[0], now_own[0])
            else:
                _fill(now_own[0], _ONE)
                _by_heads(new, writing[n], queries[b], heads, now_own[:0], True)
            _shared_by_tokens(new, tokens, rows, powers)

            _scaled(now_own[0], _TWO, twice[0])
            _by_heads(agreed, values[n], heard[b], count // tokens, twice, True)
            put_product(agreed, gram[n], every, twice[:0], False, True)
            _fill(spread, _ZERO)
            for row in range(count):
                _plus_product(every[row], agreed[row], spread)
            _scales(spread, now_own[0], energy[b, 0], share, eps, now_scale[0])

            _by_heads(scores, reading[n], keys[b], heads, now_own, True)
            put_product(scores, reading_said[n], every, now_scale, False, False)
            _by_heads(scores, reading[n], keys_constant[b], heads, now_own[:0], False)
            _shared_by_places(
                scores, now_scale[0], most[n], totals[n], of_image[n], of_shares[n], powers, spread
            )
            add_sums(of_shares[n], scores, every)
            if before:
                for row in range(asked):
                    _multiplied(scores[row], now_own[0], scores[row])
            _sums_by_heads(of_image[n], scores, level_values[b], heads)
