"""Decodes masks with kernels of Triton, on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor, nn

from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.cross_attention import CrossAttention
from workers.segmenters.decoder.gpu_kernels.attention import GpuCrossAttention
from workers.segmenters.decoder.gpu_kernels.attention_kernels import SHARED_BYTES
from workers.segmenters.decoder.gpu_kernels.upscaling import (
    UpscalingWeights,
    WantedMasks,
    upscale_masks,
)
from workers.segmenters.decoder.image_tokens import ImageStage
from workers.segmenters.decoder.torch_decoder import BoolMatrix, DecoderState, TorchDecoder

# Compiling takes up to a minute the first time: a small model has done hundreds of images by then.
_LEAST_WIDTH = 256


class GpuKernelDecoder(TorchDecoder):
    """`TorchDecoder` with its two costly steps in kernels, in inference mode only.

    On an H100 in bfloat16, at the width of the released models and 256 prompts: attention in 5.6
    instead of 9.6 ms, and of the whole of `sam_vit_b`'s shape 0.13 instead of 0.35 s an image with
    the upscaling and `trace_fused`.
    """

    @staticmethod
    def supports(decoder: MaskDecoder) -> bool:
        """Whether the kernels can run a decoder, and are worth being compiled for it."""
        _, _, first, _, last = decoder.output_upscaling
        exact = all(isinstance(x, nn.GELU) and x.approximate == "none" for x in (first, last))
        weight = decoder.mask_tokens.weight
        return weight.device.type == "cuda" and exact and weight.shape[1] >= _LEAST_WIDTH

    def _attention_of(self, stages: Sequence[ImageStage]) -> Callable[[], CrossAttention]:
        if self._attends_in_kernels:
            return partial(GpuCrossAttention, stages)
        return super()._attention_of(stages)

    @cached_property
    def _attends_in_kernels(self) -> bool:
        """In float32 a product's tiles leave no room, and tensor cores would round to tf32."""
        if self._position.dtype != torch.bfloat16:
            return False
        device = torch.cuda.get_device_properties(self._position.device)
        return device.shared_memory_per_block_optin >= SHARED_BYTES

    def low_res_logits(
        self, state: DecoderState, chosen: BoolMatrix, levels: Levels | None = None
    ) -> Tensor:
        base, (tokens,) = state.image.upscaled_base, state.image_tokens
        return upscale_masks(
            self._upscaling,
            tokens,
            base,
            self._mask_weights(state),
            WantedMasks.of(chosen, base.device),
            self.columns,
        )

    @cached_property
    def _upscaling(self) -> UpscalingWeights:
        return UpscalingWeights.of(self._decoder)
