"""The kernels of cross-attention compute what PyTorch's operations do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_decoder import small_decoder

from workers.segmenters.decoder.cpu_kernels.attention import (
    BlockCrossAttention,
    block_size,
    split_stage,
)
from workers.segmenters.decoder.cpu_kernels.attention_kernels import begin_exponentials
from workers.segmenters.decoder.cpu_kernels.matmul_tiles import (
    COLUMNS,
    add_product_transposed,
    put_product,
)
from workers.segmenters.decoder.cross_attention import TorchCrossAttention
from workers.segmenters.decoder.image_tokens import compute_stages
from workers.segmenters.decoder.two_way_transformer import run_transformer

WIDE = 3 * COLUMNS


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("side", [16, 24, 64])
@pytest.mark.parametrize(("width", "heads"), [(256, 8), (96, 4), (32, 2)])
@torch.inference_mode()
def test_tokens_and_image_tokens_are_the_references(side: int, width: int, heads: int) -> None:
    decoder, image = small_decoder(width, heads), torch.randn(side**2, width)
    stages = compute_stages(decoder, image, torch.randn(side**2, width))
    sparse = 3 * torch.randn(3, 2, width)  # so that some scores are large
    tokens, image_tokens = run_transformer(decoder, TorchCrossAttention(stages), sparse)
    attention = BlockCrossAttention([split_stage(stage) for stage in stages])
    found, found_image_tokens = run_transformer(decoder, attention, sparse)
    torch.testing.assert_close(found, tokens, rtol=1e-4, atol=1e-5)
    assert len(found_image_tokens) == len(image_tokens) == 3
    for ours, theirs in zip(found_image_tokens, image_tokens, strict=True):
        torch.testing.assert_close(ours.to_rows(), theirs.to_rows(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            ours.residual_shares, theirs.residual_shares, rtol=1e-4, atol=1e-5
        )


@torch.inference_mode()
def test_a_prompt_has_the_same_result_alone() -> None:
    decoder, image = small_decoder(64, 4), torch.randn(32**2, 64)
    stages = compute_stages(decoder, image, torch.randn(32**2, 64))
    blocked = [split_stage(stage) for stage in stages]
    sparse = torch.randn(4, 2, 64)
    tokens, groups = run_transformer(decoder, BlockCrossAttention(blocked), sparse)
    alone, (group,) = run_transformer(decoder, BlockCrossAttention(blocked), sparse[2:3])
    torch.testing.assert_close(alone, tokens[2:3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(group.to_rows(), groups[2].to_rows(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(groups[1:3][1].to_rows(), groups[2].to_rows(), rtol=0, atol=0)


@pytest.mark.parametrize("rows", range(1, 15))
@pytest.mark.parametrize("depth", [1, 7, 30])
def test_products_in_tiles_are_numpys(rows: int, depth: int) -> None:
    a, x, out = random(rows, depth), random(depth, WIDE), random(rows, WIDE, seed=1)
    by = random(1, WIDE, seed=2)
    for overwrite in (True, False):
        for factor in (by, by[:0]):
            found = out.copy()
            put_product(found, a, x, factor, overwrite, False)
            wanted = (a @ x + (0 if overwrite else out)) * (by if len(factor) else 1)
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
    add_product_transposed(out, a, x)
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-4)


def test_exponentials_are_numpys_to_float32s_precision() -> None:
    x = np.concatenate([np.linspace(-90, 0, 100_001), [-1e30, -1e-30]]).astype(np.float32)
    for less in (0.0, 3.0):
        row, powers = x.copy() + np.float32(less), np.empty(len(x), np.int32)
        wanted = np.exp(np.maximum(row.astype(np.float64) - less, -87))
        begin_exponentials(row, np.full(len(x), less, np.float32), powers)
        np.testing.assert_allclose(row * powers.view(np.float32), wanted, rtol=3e-7)


def test_blocks_are_whole_and_fit_into_caches() -> None:
    assert block_size(64 * 64) == 256
    assert block_size(56 * 56) == 224
    assert block_size(15 * 15) is None
