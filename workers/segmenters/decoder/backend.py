"""Chooses what decodes masks: PyTorch, or kernels that are faster on a CPU or on CUDA."""

from __future__ import annotations

from typing import Protocol

from segment_anything.modeling import MaskDecoder
from torch import Tensor

from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.cpu_kernels.cpu_decoder import CpuKernelDecoder
from workers.segmenters.decoder.torch_decoder import (
    BoolMatrix,
    DecoderState,
    PreparedImage,
    TorchDecoder,
)
from workers.segmenters.triton_kernels import can_run_kernels


class MaskDecoderBackend(Protocol):
    """SAM's mask decoder: from prompts to their predicted IoU, then to the masks that are wanted.

    Every implementation computes what `TorchDecoder` computes, which documents the methods.
    """

    def prepare(self, image: Tensor, rows: int | None = None) -> PreparedImage: ...

    def attend(self, prompts: Tensor, image: PreparedImage) -> DecoderState: ...

    def low_res_logits(
        self, state: DecoderState, chosen: BoolMatrix, levels: Levels | None = None
    ) -> Tensor: ...


def choose_decoder(
    decoder: MaskDecoder, position: Tensor, heads: MaskDecoder
) -> MaskDecoderBackend:
    """The fastest for a decoder's device, type and size; see `TorchDecoder` for what is passed."""
    if CpuKernelDecoder.supports(decoder, len(position)):
        return CpuKernelDecoder(decoder, position)
    if can_run_kernels(str(position.device)):
        # Triton is not there on every system.
        from workers.segmenters.decoder.gpu_kernels.gpu_decoder import GpuKernelDecoder

        if GpuKernelDecoder.supports(decoder):
            return GpuKernelDecoder(decoder, position, heads)
    return TorchDecoder(decoder, position, heads)
