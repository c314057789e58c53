"""Prompts a `Sam2Model` of transformers with points or boxes of an image, as `SamPrompter` does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.images import UInt8Image
from workers.models.precision import convert_module
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.sam2_decoder import (
    FinePreparedImage,
    Sam2Decoder,
    to_sam_decoder,
)
from workers.segmenters.decoder.torch_decoder import BoolMatrix, DecoderState
from workers.segmenters.sam_prompter import Float32s, Float64s, Guesses, keep_freed_memory

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_frame(image: UInt8Image, side: int, device: torch.device) -> Tensor:
    """The square that SAM 2 sees of uint8 (height, width, 3): float32 (1, 3, side, side)."""
    whole = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(device)
    pixels = whole.permute(2, 0, 1)[None].float()
    pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    pixels = pixels.round().clamp(0, 255) / 255
    mean, std = (pixels.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (pixels - mean) / std


@dataclass(frozen=True, slots=True, eq=False)
class _Guesses:
    predicted_iou: Float32s
    decoder: Sam2Decoder
    state: DecoderState

    @property
    def mask_tokens(self) -> Float32s:
        return self.state.tokens[:, 1:].cpu().numpy()

    @torch.inference_mode()
    def logits(self, chosen: BoolMatrix, levels: Levels | None = None) -> Tensor:
        return self.decoder.low_res_logits(self.state, chosen, levels)


@dataclass(frozen=True, eq=False)
class _View:
    """`embedding` float (h * w, c); `fine` its features at four and two times that resolution."""

    prompter: Sam2Prompter
    embedding: Tensor
    fine: tuple[Tensor, Tensor]
    size_hw: tuple[int, int]

    @cached_property
    def _prepared(self) -> FinePreparedImage:
        rows = self.prompter.decoder.columns
        return self.prompter.decoder.prepare_fine(self.embedding, self.fine, rows)

    @torch.inference_mode()
    def guess(self, points_xy: Float64s) -> Guesses:
        prompter = self.prompter
        prompts = prompter.encode_prompts(points_xy, self.size_hw)
        state = prompter.decoder.attend(prompts, self._prepared)
        return _Guesses(state.predicted_iou.cpu().numpy(), prompter.decoder, state)


class Sam2Prompter:
    """transformers' `Sam2Model`, which is moved to a device and changed.

    Images are stretched to a square, as they were in training. With `dtype` torch.bfloat16 what
    `SamPrompter` computes in it is.
    """

    stretches = True
    mask_threshold = 0.0

    def __init__(self, model: Any, device: str, dtype: torch.dtype = torch.float32) -> None:
        model = model.eval().to(device)
        if device == "cpu":
            keep_freed_memory()
        self._model, self._dtype = model, dtype
        self.device = torch.device(device)
        self.frame_side: int = model.prompt_encoder.input_image_size
        with torch.inference_mode():
            encoding = model.get_image_wide_positional_embeddings()[0]
        self.low_side: int = 4 * encoding.shape[-1]
        position = encoding.flatten(1).T.contiguous().to(dtype)
        theirs = model.mask_decoder
        heads = to_sam_decoder(theirs).to(device)
        exact = dtype == torch.float32
        decoder = heads if exact else convert_module(copy.deepcopy(heads), dtype)
        self.decoder = Sam2Decoder(decoder, position, theirs.obj_score_token.weight, heads)
        if not exact:
            for part in (model.vision_encoder, theirs.conv_s0, theirs.conv_s1):
                convert_module(part, dtype)

    @torch.inference_mode()
    def encode(self, images: Sequence[UInt8Image]) -> list[_View]:
        """See `Prompter`."""
        frames = torch.cat([self._frame(image) for image in images])
        quarters, halves, embedded = self._model.get_image_embeddings(frames.to(self._dtype))
        # As if nothing were known of the mask.
        no_mask = self._model.prompt_encoder.no_mask_embed.weight
        embedded = (embedded.flatten(2).mT + no_mask).to(self._dtype).contiguous()
        return [
            _View(self, rows, (quarter, half), image.shape[:2])
            for rows, quarter, half, image in zip(embedded, quarters, halves, images, strict=True)
        ]

    def _frame(self, image: UInt8Image) -> Tensor:
        return make_frame(image, self.frame_side, self.device)

    def encode_prompts(self, prompts_xy: Float64s, size_hw: tuple[int, int]) -> Tensor:
        """The prompt encoder's tokens: of points float64 (n, 2), or boxes (n, 4), (n, t, c)."""
        height, width = size_hw
        scale = self.frame_side / np.array([width, height], np.float64)
        corners = prompts_xy.reshape(len(prompts_xy), -1, 2) * scale
        placed = torch.as_tensor(corners, dtype=torch.float32, device=self.device)[None]
        encoder = self._model.prompt_encoder
        if placed.shape[2] == 1:
            labels = torch.ones(placed.shape[:3], dtype=torch.int64, device=self.device)
            sparse, _ = encoder(placed, labels, None, None)
        else:
            sparse, _ = encoder(None, None, placed.flatten(2), None)
        tokens: Tensor = sparse[0].to(self._dtype)
        return tokens
