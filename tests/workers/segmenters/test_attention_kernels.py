"""The kernels of places' turns compute what PyTorch's operations do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.small_decoder import small_decoder

from workers.segmenters.decoder.cpu_kernels.attention import (
    Blocks,
    BlockTurns,
    block_size,
    has_kernels,
)
from workers.segmenters.decoder.cpu_kernels.attention_kernels import begun_exponentials
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import COLUMNS, add_sums, put_product
from workers.segmenters.decoder.image_tokens import WholeTurns, levels
from workers.segmenters.decoder.mask_decoder import attend

WIDE = 3 * COLUMNS


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("side", [16, 24, 64])
@pytest.mark.parametrize(("width", "heads"), [(256, 8), (96, 4), (32, 2)])
@torch.inference_mode()
def test_tokens_and_places_are_those_of_whole_turns(side: int, width: int, heads: int) -> None:
    decoder, image = small_decoder(width, heads), torch.randn(side**2, width)
    of_image = levels(decoder, image, torch.randn(side**2, width))
    sparse = 3 * torch.randn(3, 2, width)  # so that some scores are large
    tokens, places = attend(decoder, WholeTurns(of_image), sparse)
    found, found_places = attend(decoder, BlockTurns([Blocks.of(x) for x in of_image]), sparse)
    torch.testing.assert_close(found, tokens, rtol=1e-4, atol=1e-5)
    assert len(found_places) == len(places) == 3
    for mine, theirs in zip(found_places, places, strict=True):
        torch.testing.assert_close(mine.rows(), theirs.rows(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine.shares, theirs.shares, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_prompt_is_told_the_same_alone() -> None:
    decoder, image = small_decoder(64, 4), torch.randn(32**2, 64)
    blocks = [Blocks.of(x) for x in levels(decoder, image, torch.randn(32**2, 64))]
    sparse = torch.randn(4, 2, 64)
    tokens, places = attend(decoder, BlockTurns(blocks), sparse)
    alone, (place,) = attend(decoder, BlockTurns(blocks), sparse[2:3])
    torch.testing.assert_close(alone, tokens[2:3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(place.rows(), places[2].rows(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(places[1:3][1].rows(), places[2].rows(), rtol=0, atol=0)


@pytest.mark.parametrize("rows", range(1, 15))
@pytest.mark.parametrize("depth", [1, 7, 30])
def test_products_in_tiles_are_numpys(rows: int, depth: int) -> None:
    a, x, out = random(rows, depth), random(depth, WIDE), random(rows, WIDE, seed=1)
    by = random(1, WIDE, seed=2)
    for fresh in (True, False):
        for factor in (by, by[:0]):
            found = out.copy()
            put_product(found, a, x, factor, fresh, False)
            wanted = (a @ x + (0 if fresh else out)) * (by if len(factor) else 1)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 6, 13])
def test_what_is_above_a_lower_matrix_is_not_looked_at(rows: int) -> None:
    a, x, out = np.tril(random(rows, rows)), random(rows, WIDE), np.empty((rows, WIDE), np.float32)
    put_product(out, a, x, x[:0], True, True)
    np.testing.assert_allclose(out, a @ x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", range(1, 8))
@pytest.mark.parametrize("others", range(1, 8))
def test_sums_in_tiles_are_numpys(rows: int, others: int) -> None:
    a, x, out = random(rows, WIDE), random(others, WIDE), random(rows, others)
    wanted = out + a @ x.T
    add_sums(out, a, x)
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-4)


def test_exponentials_are_numpys_to_what_float32_tells() -> None:
    x = np.concatenate([np.linspace(-90, 0, 100_001), [-1e30, -1e-30]]).astype(np.float32)
    for less in (0.0, 3.0):
        row, powers = x.copy() + np.float32(less), np.empty(len(x), np.int32)
        wanted = np.exp(np.maximum(row.astype(np.float64) - less, -87))
        begun_exponentials(row, np.full(len(x), less, np.float32), powers)
        np.testing.assert_allclose(row * powers.view(np.float32), wanted, rtol=3e-7)


def test_blocks_are_whole_and_fit_into_caches() -> None:
    assert block_size(64 * 64) == 256
    assert block_size(56 * 56) == 224
    assert block_size(15 * 15) is None


def test_only_what_the_kernels_compute_is_theirs() -> None:
    decoder = small_decoder(64, 4)
    assert has_kernels(decoder, 64 * 64)
    assert not has_kernels(decoder, 15 * 15)
    assert not has_kernels(copy.deepcopy(decoder).bfloat16(), 64 * 64)
