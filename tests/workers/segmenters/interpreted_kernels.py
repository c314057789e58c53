"""The kernels of Triton compute what PyTorch computes: run by `test_gpu_kernels`, interpreted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from workers.segmenters.decoder import cross_attention
from workers.segmenters.decoder.gpu_kernels.attention import GpuCrossAttention
from workers.segmenters.decoder.gpu_kernels.upscaling import (
    UpscalingWeights,
    WantedMasks,
    upscale_masks,
)
from workers.segmenters.decoder.image_tokens import ImageStage
from workers.segmenters.decoder.torch_decoder import TorchDecoder
from workers.segmenters.masks.trace_fused import FusedTracer
from workers.segmenters.masks.trace_gpu import DeviceTracer
from workers.segmenters.masks.tracer import Frame, make_axis

Hw = tuple[int, int]


@pytest.mark.parametrize(
    ("crop_hw", "left", "top", "image_hw"),
    [
        ((11, 15), 0, 0, (11, 15)),
        ((11, 15), 5, 7, (20, 25)),
        ((20, 10), 3, 0, (20, 25)),  # as tall as the image: columns join
        ((15, 11), 0, 4, (20, 11)),
    ],
)
def test_masks_are_traced_as_in_pytorch(crop_hw: Hw, left: int, top: int, image_hw: Hw) -> None:
    low_side, frame_side = 8, 32
    used = ResizeLongestSide.get_preprocess_shape(*crop_hw, frame_side)
    axes = [make_axis(crop_hw[i], used[i], low_side, frame_side) for i in range(2)]
    rows = 4 * min(int(used[0] * low_side / frame_side + 1) // 4 + 1, low_side // 4)
    logits = torch.randn(8, rows, low_side, generator=torch.Generator().manual_seed(1)) * 3 - 0.5
    logits[3], logits[4], logits[5:] = -9, 9, -9
    logits[5, 0, 0] = logits[6, -4:, 3:5] = logits[7, 2, -1] = 9
    frame = Frame(crop_hw, left, top, image_hw)
    wanted, got = (tracing(*axes, frame, 0.0, 1.0) for tracing in (DeviceTracer, FusedTracer))
    for tracer in (wanted, got):
        tracer.add(logits[:5])
        tracer.add(logits[5:])
    one, other = wanted.finish(), got.finish()
    assert one.area[4] == crop_hw[0] * crop_hw[1]
    assert one.area[3] == 0
    for measure in ("inside", "outside", "area", "boxes"):
        np.testing.assert_array_equal(getattr(other, measure), getattr(one, measure))
    assert other.counts == one.counts


class Case:
    """A decoder of odd widths with weights at random, an image and prompts."""

    def __init__(self, width: int, heads: int) -> None:
        torch.manual_seed(width)
        transformer = TwoWayTransformer(depth=2, embedding_dim=width, mlp_dim=64, num_heads=heads)
        self.decoder = MaskDecoder(
            num_multimask_outputs=3, transformer=transformer, transformer_dim=width,
            iou_head_depth=3, iou_head_hidden_dim=width,
        ).eval()  # fmt: skip
        for name, weights in self.decoder.named_parameters():
            # So that no part of the sums is next to nothing.
            scale = 3.0 if name.endswith(("q_proj.weight", "k_proj.weight")) else 1.0
            noise = 0.3 * torch.randn_like(weights) if "norm" in name or "bias" in name else 0.0
            weights.data = weights.data * scale + noise
        self.position, self.image = torch.randn(100, width), torch.randn(100, width)
        self.prompts = torch.randn(3, 2, width)


class KernelDecoder(TorchDecoder):
    def _attention_of(self, stages: Sequence[ImageStage]) -> Any:
        return partial(GpuCrossAttention, stages)


@pytest.fixture(params=[(32, 4), (48, 8)], ids=["32 wide", "48 wide"])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    # As on an accelerator: all prompts together.
    monkeypatch.setattr(cross_attention, "_split_prompts", lambda x: (x,))
    with torch.inference_mode():
        yield Case(*request.param)


def near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_attention_is_that_of_pytorch(case: Case) -> None:
    wanted, got = (
        decoder.attend(case.prompts, decoder.prepare(case.image))
        for decoder in (
            TorchDecoder(case.decoder, case.position),
            KernelDecoder(case.decoder, case.position),
        )
    )
    assert near(got.tokens, wanted.tokens)
    assert near(got.predicted_iou, wanted.predicted_iou)
    (one,), (other,) = wanted.image_tokens, got.image_tokens
    for factor in ("scale", "base_share", "residual_shares", "values", "residuals"):
        assert near(getattr(other, factor), getattr(one, factor)), factor


@pytest.mark.parametrize("rows", [None, 4])
def test_wanted_masks_are_upscaled_as_in_pytorch(case: Case, rows: int | None) -> None:
    decoder = TorchDecoder(case.decoder, case.position)
    state = decoder.attend(case.prompts, decoder.prepare(case.image, rows))
    chosen = np.array([[True, False, True], [False, False, False], [False, True, False]])
    wanted = decoder.low_res_logits(state, chosen)
    got = upscale_masks(
        UpscalingWeights.of(case.decoder),
        state.image_tokens[0],
        state.image.upscaled_base,
        decoder._mask_weights(state),
        WantedMasks.of(chosen, torch.device("cpu")),
        columns=10,
    )
    assert got.shape == wanted.shape == (3, 4 * (rows or 10), 40)
    assert near(got, wanted)
