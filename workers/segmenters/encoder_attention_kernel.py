"""Computes attention with relative positions in one compiled loop, on a CPU in float32.

A block of queries is taken through scores, softmax and values while its scores are in the caches.
Queries lie along the last axis and keys along the first, so that the softmax of many is computed at
once without a sum across them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from workers.numba_jit import jit_fused
from workers.segmenters.decoder.cpu_kernels.attention_kernels import (
    begin_exponentials,
    fill,
    finish_and_add,
    invert,
)
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import (
    COLUMNS,
    OVERWRITE,
    WHOLE,
    put_product,
)

Float32s = npt.NDArray[np.float32]

# Half of a second-level cache: of more scores a block has fewer queries.
_SCORES_IN_CACHE = 2**17
_ZERO, _LEAST = np.float32(0), np.float32(-np.inf)


class HeadInputs(NamedTuple):
    """What heads attend with, queries by blocks of b.

    keys (heads, p, d) and values (heads, d, p); queries (heads, blocks, d, b), scaled already;
    of_rows (heads, blocks, height, b) and of_columns (heads, blocks, width, b), what a query adds
    for each row and each column of the p = height * width keys.
    """

    keys: Float32s
    values: Float32s
    queries: Float32s
    of_rows: Float32s
    of_columns: Float32s


def can_attend(x: Tensor) -> bool:
    """Whether the loop can, and is faster than PyTorch, whose several threads it does not have."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return plain and torch.is_inference_mode_enabled() and torch.get_num_threads() == 1


def attend_in_blocks(
    queries: Tensor, keys: Tensor, values: Tensor, of_rows: Tensor, of_columns: Tensor
) -> Tensor:
    """Attention with relative positions, see `encoder_attention`: (n, heads, p, d).

    queries, keys and values (n, heads, p, d); of_rows and of_columns (n, heads, height, width, k),
    what a place adds for each row and each column of the others.
    """
    places, depth = queries.shape[2:]
    size = choose_block(places)
    scaled = queries / math.sqrt(depth)
    by_blocks = (
        _split_blocks(x.flatten(0, 1), size)
        for x in (scaled, of_rows.flatten(2, 3), of_columns.flatten(2, 3))
    )
    of_heads = (keys.flatten(0, 1), values.flatten(0, 1).mT)
    inputs = HeadInputs(*(x.contiguous().numpy() for x in (*of_heads, *by_blocks)))
    out = np.empty_like(inputs.queries)
    _attend(inputs, out)
    joined = torch.from_numpy(out).transpose(2, 3).flatten(1, 2)[:, :places]
    return torch.unflatten(joined, 0, queries.shape[:2])


def choose_block(places: int) -> int:
    """How many queries at once: the most that leave the fewest of the last block unused."""
    most = max(_SCORES_IN_CACHE // places, COLUMNS)
    sizes = range(COLUMNS, most + 1, COLUMNS)
    return min(sizes, key=lambda size: (-(-places // size) * size, -size))


def _split_blocks(x: Tensor, size: int) -> Tensor:
    """(heads, p, d) to (heads, blocks, d, size), with zeros for what p lacks."""
    padded = functional.pad(x, (0, 0, 0, -x.shape[1] % size))
    return torch.unflatten(padded, 1, (-1, size)).mT


@jit_fused
def _attend(inputs: HeadInputs, out: Float32s) -> None:
    """Fill out, of the queries' shape."""
    heads, blocks, _, size = inputs.queries.shape
    places = inputs.keys.shape[1]
    scores = np.empty((places, size), np.float32)
    maxima, powers = np.empty(size, np.float32), np.empty(size, np.int32)
    totals = np.empty((1, size), np.float32)
    for head in range(heads):
        for block in range(blocks):
            queries, nothing = inputs.queries[head, block], totals[:0]
            put_product(scores, inputs.keys[head], queries, nothing, OVERWRITE, WHOLE)
            fill(maxima, _LEAST)
            _add_positions(
                scores, inputs.of_rows[head, block], inputs.of_columns[head, block], maxima
            )
            fill(totals[0], _ZERO)
            for place in range(places):
                begin_exponentials(scores[place], maxima, powers)
                finish_and_add(scores[place], powers.view(np.float32), totals[0])
            invert(totals[0])
            put_product(out[head, block], inputs.values[head], scores, totals, OVERWRITE, WHOLE)


@jit_fused
def _add_positions(
    scores: Float32s, of_rows: Float32s, of_columns: Float32s, maxima: Float32s
) -> None:
    """Add to (height * width, b) what (height, b) and (width, b) say, and take the maxima."""
    width = len(of_columns)
    for row in range(len(of_rows)):
        for column in range(width):
            _add_both(scores[row * width + column], of_rows[row], of_columns[column], maxima)


@jit_fused
def _add_both(scores: Float32s, of_row: Float32s, of_column: Float32s, maxima: Float32s) -> None:
    for i in range(len(scores)):
        score = scores[i] + (of_row[i] + of_column[i])
        scores[i] = score
        maxima[i] = max(maxima[i], score)
