"""The kernels of the upscaling compute what PyTorch's operations do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_decoder import small_decoder

from workers.segmenters.decoder.cpu_kernels.upscaling import (
    PromptFactors,
    UpscalingWeights,
    compute_constant,
    fill_logits,
    gather_inputs,
    gelu,
)
from workers.segmenters.decoder.cross_attention import TorchCrossAttention
from workers.segmenters.decoder.image_tokens import FactoredImageTokens, compute_stages
from workers.segmenters.decoder.two_way_transformer import run_transformer
from workers.segmenters.decoder.upscaling import (
    compute_logits,
    compute_mask_weights,
    upscale_base,
    upscale_rows,
)

ROWS, COLUMNS = 5, 12


def test_gelu_is_pytorchs_to_float32s_precision() -> None:
    x = np.concatenate([np.linspace(-12, 12, 4001), [0.0, 1e-30, -1e-30]]).astype(np.float32)
    found = np.array([gelu(value) for value in x])
    wanted = torch.nn.functional.gelu(torch.from_numpy(x).double()).numpy()
    assert (np.abs(found - wanted) <= 2.5e-7 * np.abs(x)).all()


def blocks_of(tokens: FactoredImageTokens) -> PromptFactors:
    """One prompt's factors in blocks of two rows."""
    shares = tokens.residual_shares[0].unflatten(1, (-1, 2 * COLUMNS)).transpose(0, 1)
    base_share, scale = (x.ravel().numpy() for x in (tokens.base_share, tokens.scale))
    return PromptFactors(tokens.residuals[0], shares.contiguous().numpy(), base_share, scale)


@pytest.mark.parametrize("width", [32, 64, 256])
@pytest.mark.parametrize("chosen", [[0], [2], [0, 1], [1, 0, 2]])
@pytest.mark.parametrize("rows", [1, ROWS, COLUMNS])
@torch.inference_mode()
def test_logits_of_a_prompt_are_those_of_its_image_tokens(
    width: int, chosen: list[int], rows: int
) -> None:
    decoder, image = small_decoder(width, heads=4), torch.randn(COLUMNS**2, width)
    stages = compute_stages(decoder, image, torch.randn(COLUMNS**2, width))
    prompts = torch.randn(1, 2, width)
    tokens, (image_tokens,) = run_transformer(decoder, TorchCrossAttention(stages), prompts)
    part = rows * COLUMNS
    weights = compute_mask_weights(decoder, tokens)[:, chosen]
    upscaled = upscale_rows(decoder, image_tokens.to_rows()[:, :part])
    cells = compute_logits(decoder, upscaled, weights)
    wanted = cells.unflatten(2, (rows, COLUMNS)).transpose(3, 4).flatten(4, 5).flatten(2, 3)[0]
    base = upscale_base(decoder, stages[-1])[:, :part].contiguous()
    own, constant = UpscalingWeights.of(decoder), compute_constant(decoder, stages[-1])
    inputs = gather_inputs(blocks_of(image_tokens), own, base, constant, weights[0])
    found = np.full(wanted.shape, np.nan, np.float32)
    fill_logits(own, inputs, np.arange(0, part, 5), found)
    is_computed = np.isfinite(found)
    assert is_computed.sum() == 16 * len(chosen) * len(range(0, part, 5))
    np.testing.assert_allclose(
        found[is_computed], wanted.numpy()[is_computed], rtol=1e-4, atol=1e-4
    )
    fill_logits(own, inputs, np.arange(part), found)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)
