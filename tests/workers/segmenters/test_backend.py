"""A decoder with kernels computes what the reference computes, and is chosen where it can."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support.small_decoder import small_decoder
from torch import nn

from workers.segmenters.decoder.backend import choose_decoder
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.cpu_kernels.cpu_decoder import CpuKernelDecoder
from workers.segmenters.decoder.torch_decoder import TorchDecoder

SIDE = 16
CHOSEN = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]], np.bool_)


@pytest.mark.parametrize("rows", [None, 7])
@torch.inference_mode()
def test_backends_agree(rows: int | None) -> None:
    decoder, image = small_decoder(64, 4), torch.randn(SIDE**2, 64)
    position, prompts = torch.randn(SIDE**2, 64), torch.randn(len(CHOSEN), 2, 64)
    found = []
    for backend in (TorchDecoder(decoder, position), CpuKernelDecoder(decoder, position)):
        state = backend.attend(prompts, backend.prepare(image, rows))
        found.append((state.predicted_iou, backend.low_res_logits(state, CHOSEN)))
    (wanted_iou, wanted), (predicted_iou, logits) = found
    assert wanted.shape == (CHOSEN.sum(), 4 * (rows or SIDE), 4 * SIDE)
    torch.testing.assert_close(predicted_iou, wanted_iou, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_masks_of_contours_alone_are_those_of_all_logits() -> None:
    decoder, image = small_decoder(64, 4), torch.randn(SIDE**2, 64)
    backend = CpuKernelDecoder(decoder, torch.randn(SIDE**2, 64))
    state = backend.attend(torch.randn(len(CHOSEN), 2, 64), backend.prepare(image))
    wanted = backend.low_res_logits(state, CHOSEN)
    # Noise is a contour nearly everywhere, but not beyond all of it.
    most = float(wanted.abs().max())
    for threshold, offset in ((float(wanted.median()), most / 100), (3 * most, most / 2)):
        levels = Levels.around(threshold, offset)
        found = backend.low_res_logits(state, CHOSEN, levels)
        is_same = found == wanted
        for level in (threshold - offset, threshold, threshold + offset):
            torch.testing.assert_close(found > level, wanted > level)
        assert is_same.float().mean() > (0.9 if threshold < most else 0.2)
        assert is_same.all() == (threshold < most)


def test_kernels_are_chosen_where_they_compute_the_same() -> None:
    decoder = small_decoder(64, 4)

    def choose(decoder: nn.Module, side: int = 64) -> type:
        return type(choose_decoder(decoder, torch.empty(side**2, 64), decoder))

    assert choose(decoder) is CpuKernelDecoder
    assert choose(decoder, side=15) is TorchDecoder
    assert choose(copy.deepcopy(decoder).bfloat16()) is TorchDecoder
    for other in (nn.ReLU(), nn.GELU(approximate="tanh")):
        decoder.output_upscaling[1 + 3] = other
        assert choose(decoder) is TorchDecoder
