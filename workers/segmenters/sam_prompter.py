"""A `Sam` prompted with many points of an image: predicted IoU first, logits for what is asked."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import MaskDecoder, Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn

from schemas.images import UInt8Image
from workers.models.precision import convert_module
from workers.segmenters.decoder.cpu_kernels.attention import Blocks, BlockTurns, has_kernels
from workers.segmenters.decoder.cpu_kernels.upscaling import fits, low_logits
from workers.segmenters.decoder.image_tokens import Level, Turns, WholeTurns, Written, levels
from workers.segmenters.decoder.mask_decoder import (
    attend,
    doubled_base,
    doubled_places,
    mask_logits,
    mask_weights,
)

_KEPT_BYTES = 32 * 2**20 - 2**16  # just under the most that glibc adapts itself to

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
BoolMatrix = npt.NDArray[np.bool_]


class Guesses(Protocol):
    """Three masks for each of n points."""

    @property
    def predicted_iou(self) -> Float32s:
        """float32 (n, 3)."""
        ...

    def logits(self, chosen: BoolMatrix) -> Tensor:
        """Of the masks in bool (n, 3), in order: float32 (m, rows, low_side), the image's rows."""
        ...


class View(Protocol):
    """An encoded image."""

    def guess(self, points_xy: Float64s) -> Guesses:
        """float64 (n, 2), pixels of the image."""
        ...


class Prompter(Protocol):
    """A model that guesses masks from points.

    Images are scaled to fit `frame_side` pixels; logits have `low_side` to a frame's side and lie
    on `device`.
    """

    device: torch.device
    frame_side: int
    low_side: int
    mask_threshold: float

    def encode(self, images: Sequence[UInt8Image]) -> Sequence[View]:
        """A view of each image, uint8 (height, width, 3); all are encoded at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _SamGuesses:
    predicted_iou: Float32s
    view: _SamView
    tokens: Tensor
    places: Sequence[Written]

    @torch.inference_mode()
    def logits(self, chosen: BoolMatrix) -> Tensor:
        prompter = self.view.prompter
        decoder, columns = prompter.decoder, prompter.columns
        weights = mask_weights(prompter.heads, self.tokens).to(prompter.position.dtype)
        wanted = torch.from_numpy(chosen).to(weights.device)
        of_base = self.view.doubled
        if prompter.has_upscaling_kernels:
            upscaled = [
                low_logits(decoder, self.places[n], of_base, weights[n, wanted[n]], columns)
                for n in np.flatnonzero(chosen.any(axis=1)).tolist()
            ]
            return torch.from_numpy(np.concatenate(upscaled))
        found, at = [], 0
        for places in self.places:
            of_group = slice(at, at + len(places))
            at = of_group.stop
            asked = wanted[of_group].any(dim=1)
            if not asked.any():
                continue
            doubled = doubled_places(decoder, places.taken(asked), of_base)
            cells = mask_logits(decoder, doubled, weights[of_group][asked])
            cells = torch.unflatten(cells[wanted[of_group][asked]], 1, (-1, columns))
            found.append(cells.transpose(2, 3).flatten(3, 4).flatten(1, 2))
        return torch.cat(found).float()


@dataclass(frozen=True, eq=False)
class _SamView:
    """`embedding` is float (h * w, c); `used_hw` is the image's size in the frame."""

    prompter: SamPrompter
    embedding: Tensor
    size_hw: tuple[int, int]
    used_hw: tuple[int, int]

    @cached_property
    def _levels(self) -> list[Level]:
        return levels(self.prompter.decoder, self.embedding, self.prompter.position)

    @cached_property
    def _blocks(self) -> list[Blocks]:
        return [Blocks.of(level) for level in self._levels]

    @cached_property
    def doubled(self) -> Tensor:
        """Of the rows that the image covers, and those that these are mixed with."""
        prompter = self.prompter
        used = self.used_hw[0] * prompter.low_side / prompter.frame_side
        rows = min(int(used + 1) // 4 + 1, prompter.columns)
        every = doubled_base(prompter.decoder, self._levels[-1])
        return every[:, : rows * prompter.columns].contiguous()

    def _turns(self) -> Turns:
        if self.prompter.has_turn_kernels:
            return BlockTurns(self._blocks)
        return WholeTurns(self._levels)

    @torch.inference_mode()
    def guess(self, points_xy: Float64s) -> Guesses:
        prompter = self.prompter
        sparse = prompter.prompts(points_xy, self.size_hw)
        tokens, places = attend(prompter.decoder, self._turns(), sparse)
        tokens = tokens.float()
        predicted = prompter.heads.iou_prediction_head(tokens[:, 0])[:, 1:]
        return _SamGuesses(predicted.cpu().numpy(), self, tokens, places)


def keep_freed_memory() -> None:
    """Let what is freed, up to 64 MiB, be used again instead of going back to the system.

    glibc asks the system for every block larger than those it has seen freed, up to 32 MiB, and
    keeps as much as twice that size. Without it a fifth of a decoder's time went into new pages.
    """
    torch.empty(_KEPT_BYTES, dtype=torch.uint8)


class SamPrompter:
    """segment-anything's `Sam` on a device.

    With `dtype` torch.bfloat16 the encoder and what the decoder does at every place of the image
    are computed in it; what follows from a prompt's few tokens, the predicted IoU above all, whose
    thresholds are finer than bfloat16, stays in float32.
    """

    def __init__(self, model: Sam, device: str, dtype: torch.dtype = torch.float32) -> None:
        model = model.eval().to(device)
        if device == "cpu":
            keep_freed_memory()
        self._model, self._dtype = model, dtype
        self.device = torch.device(device)
        self.heads: MaskDecoder = model.mask_decoder
        self.decoder: MaskDecoder = _in(dtype, model.mask_decoder)
        self.encoder = _in(dtype, model.image_encoder)
        self.has_upscaling_kernels = fits(self.decoder)
        self.frame_side: int = model.image_encoder.img_size
        self.mask_threshold: float = model.mask_threshold
        self._transform = ResizeLongestSide(self.frame_side)
        with torch.inference_mode():
            position = model.prompt_encoder.get_dense_pe()
        self.columns: int = position.shape[-1]
        self.low_side = 4 * self.columns
        self.has_turn_kernels = has_kernels(self.decoder, self.columns**2)
        self.position = position[0].flatten(1).T.contiguous().to(dtype)
        # Apple's devices have no float64.
        self._point_type = torch.float32 if device == "mps" else torch.float64

    @torch.inference_mode()
    def encode(self, images: Sequence[UInt8Image]) -> list[_SamView]:
        scaled = [self._transform.apply_image(image) for image in images]
        frames = torch.cat([self._framed(image) for image in scaled])
        embeddings = self.encoder(frames.to(self._dtype)).flatten(2).mT
        places = embeddings + self._model.prompt_encoder.no_mask_embed.weight.to(self._dtype)
        return [
            _SamView(self, embedding.contiguous(), image.shape[:2], frame.shape[:2])
            for embedding, image, frame in zip(places, images, scaled, strict=True)
        ]

    def _framed(self, scaled: UInt8Image) -> Tensor:
        pixels = torch.as_tensor(scaled, device=self.position.device).permute(2, 0, 1)
        framed: Tensor = self._model.preprocess(pixels.contiguous()[None])
        return framed

    def prompts(self, points_xy: Float64s, size_hw: tuple[int, int]) -> Tensor:
        """The prompt encoder's tokens of points on the foreground: (n, 2, c)."""
        scaled = torch.as_tensor(self._transform.apply_coords(points_xy, size_hw))
        points = scaled.to(self._point_type).to(self.position.device)[:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        sparse, _ = self._model.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        tokens: Tensor = sparse.to(self._dtype)
        return tokens


def _in(dtype: torch.dtype, module: nn.Module) -> nn.Module:
    """`module` itself in float32, else a copy of it."""
    return module if dtype == torch.float32 else convert_module(copy.deepcopy(module), dtype)
