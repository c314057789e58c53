"""The kernels of the upscaling compute what PyTorch's operations do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.small_decoder import small_decoder
from torch import nn

from workers.segmenters.decoder.cpu_kernels.upscaling import fits, gelu, low_logits
from workers.segmenters.decoder.image_tokens import WholeTurns, levels
from workers.segmenters.decoder.mask_decoder import (
    attend,
    doubled,
    doubled_base,
    mask_logits,
    mask_weights,
)

ROWS, COLUMNS = 5, 12


def test_gelu_is_pytorchs_to_what_float32_tells() -> None:
    x = np.concatenate([np.linspace(-12, 12, 4001), [0.0, 1e-30, -1e-30]]).astype(np.float32)
    found = np.array([gelu(value) for value in x])
    wanted = torch.nn.functional.gelu(torch.from_numpy(x).double()).numpy()
    assert (np.abs(found - wanted) <= 2.5e-7 * np.abs(x)).all()


@pytest.mark.parametrize("width", [32, 64, 256])
@pytest.mark.parametrize("chosen", [[0], [2], [0, 1], [1, 0, 2]])
@pytest.mark.parametrize("rows", [1, ROWS, COLUMNS])
@torch.inference_mode()
def test_logits_of_a_prompt_are_those_of_its_places(
    width: int, chosen: list[int], rows: int
) -> None:
    decoder, image = small_decoder(width, heads=4), torch.randn(COLUMNS**2, width)
    levels_of_image = levels(decoder, image, torch.randn(COLUMNS**2, width))
    tokens, (places, *_) = attend(decoder, WholeTurns(levels_of_image), torch.randn(1, 2, width))
    part = rows * COLUMNS
    weights = mask_weights(decoder, tokens)[:, chosen]
    cells = mask_logits(decoder, doubled(decoder, places.rows()[:, :part]), weights)
    wanted = cells.unflatten(2, (rows, COLUMNS)).transpose(3, 4).flatten(4, 5).flatten(2, 3)[0]
    of_base = doubled_base(decoder, levels_of_image[-1])[:, :part].contiguous()
    found = low_logits(decoder, places, of_base, weights[0], COLUMNS)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_only_what_the_kernels_compute_is_theirs() -> None:
    decoder = small_decoder(64, heads=4)
    assert fits(decoder)
    assert not fits(copy.deepcopy(decoder).bfloat16())
    for other in (nn.ReLU(), nn.GELU(approximate="tanh")):
        decoder.output_upscaling[1 + 3] = other
        assert not fits(decoder)
