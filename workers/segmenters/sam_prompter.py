"""Prompts a `Sam` with points of an image: predicted IoU first, logits of the masks wanted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn

from schemas.images import UInt8Image
from workers.models.precision import convert_module
from workers.models.threads import count_usable_cpus
from workers.segmenters.decoder.backend import MaskDecoderBackend, choose_decoder
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.decoder.torch_decoder import BoolMatrix, DecoderState, PreparedImage
from workers.segmenters.encoder_attention import fuse_attention
from workers.segmenters.encoder_convolutions import can_fuse_convolutions, fuse_convolutions
from workers.segmenters.prompt_parts import PromptParts

_KEPT_BYTES = 32 * 2**20 - 2**16  # just under the most that glibc adapts itself to

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


class Guesses(Protocol):
    """Three masks for each of n points."""

    @property
    def predicted_iou(self) -> Float32s:
        """float32 (n, 3)."""
        ...

    @property
    def mask_tokens(self) -> Float32s | None:
        """What the decoder makes each mask of: float32 (n, 3, c). None where a model has none."""
        ...

    def logits(self, chosen: BoolMatrix, levels: Levels | None = None) -> Tensor:
        """Of the masks in bool (n, 3), in order: float32 (m, rows, low_side), the image's rows.

        With `levels`, where all logits around lie on one side of both, they may be any numbers
        there, and an island or a hole narrower than two image tokens may be missed.
        """
        ...


class View(Protocol):
    """An encoded image.

    `embedding` float (side * side, c) is that of its frame, on the model's device.
    """

    @property
    def embedding(self) -> Tensor: ...

    def guess(self, points_xy: Float64s) -> Guesses:
        """float64 (n, 2), pixels of the image; or boxes, float64 (n, 4), xyxy in its pixels."""
        ...


class Prompter(Protocol):
    """A model that guesses masks from points.

    Images are scaled to fit `frame_side` pixels, or to fill a square of them where the model
    `stretches` them; logits have `low_side` to a frame's side and lie on `device`.
    """

    device: torch.device
    stretches: bool
    frame_side: int
    low_side: int
    mask_threshold: float

    def encode(self, images: Sequence[UInt8Image]) -> Sequence[View]:
        """A view of each image, uint8 (height, width, 3); all are encoded at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _SamGuesses:
    predicted_iou: Float32s
    decoder: MaskDecoderBackend
    state: DecoderState

    @property
    def mask_tokens(self) -> Float32s:
        return self.state.tokens[:, 1:].cpu().numpy()

    @torch.inference_mode()
    def logits(self, chosen: BoolMatrix, levels: Levels | None = None) -> Tensor:
        return self.decoder.low_res_logits(self.state, chosen, levels)


@dataclass(frozen=True, eq=False)
class _SamView:
    """`embedding` is float (h * w, c); `used_hw` is the image's size in the frame."""

    prompter: SamPrompter
    embedding: Tensor
    size_hw: tuple[int, int]
    used_hw: tuple[int, int]

    @cached_property
    def _prepared(self) -> PreparedImage:
        """For the rows that the image covers, and those that these are interpolated with."""
        prompter = self.prompter
        used = self.used_hw[0] * prompter.low_side / prompter.frame_side
        rows = min(int(used + 1) // 4 + 1, prompter.low_side // 4)
        return prompter.decoder.prepare(self.embedding, rows)

    @torch.inference_mode()
    def guess(self, points_xy: Float64s) -> Guesses:
        prompter = self.prompter
        is_box = points_xy.shape[1] == 4
        encode = prompter.encode_boxes if is_box else prompter.encode_points
        prompts = encode(points_xy, self.size_hw)
        state = prompter.decoder.attend(prompts, self._prepared)
        return _SamGuesses(state.predicted_iou.cpu().numpy(), prompter.decoder, state)


def keep_freed_memory() -> None:
    """Let what is freed, up to 64 MiB, be used again instead of going back to the system.

    glibc asks the system for every block larger than those it has seen freed, up to 32 MiB, and
    keeps as much as twice that size. Without it a fifth of a decoder's time went into new pages.
    """
    torch.empty(_KEPT_BYTES, dtype=torch.uint8)


class SamPrompter:
    """segment-anything's `Sam`, which is moved to a device and changed.

    With `dtype` torch.bfloat16 the encoder and what the decoder does at every place of the image
    are computed in it; what follows from a prompt's few tokens, the predicted IoU above all, whose
    thresholds are finer than bfloat16, stays in float32. `load_parts` gives what answers prompts
    other than single points and boxes, when it is first asked; without it the model's own parts do.
    """

    stretches = False

    def __init__(
        self,
        model: Sam,
        device: str,
        dtype: torch.dtype = torch.float32,
        load_parts: Callable[[], PromptParts] | None = None,
    ) -> None:
        model = model.eval().to(device)
        self._load_parts = load_parts
        if device == "cpu":
            keep_freed_memory()
        self._model, self._dtype = model, dtype
        self.device = torch.device(device)
        encoder = fuse_attention(_convert(dtype, model.image_encoder))
        can_fuse = can_fuse_convolutions(device, dtype)
        self.encoder = fuse_convolutions(encoder) if can_fuse else encoder
        self.frame_side: int = model.image_encoder.img_size
        self.mask_threshold: float = model.mask_threshold
        self._transform = ResizeLongestSide(self.frame_side)
        with torch.inference_mode():
            encoding = model.prompt_encoder.get_dense_pe()
        self.low_side: int = 4 * encoding.shape[-1]
        position = encoding[0].flatten(1).T.contiguous().to(dtype)
        decoder = _convert(dtype, model.mask_decoder)
        self.decoder = choose_decoder(decoder, position, heads=model.mask_decoder)
        # Apple's devices have no float64.
        self._point_type = torch.float32 if device == "mps" else torch.float64

    @torch.inference_mode()
    def encode(self, images: Sequence[UInt8Image]) -> list[_SamView]:
        scaled = self._scale(images)
        frames = torch.cat([self._frame(image) for image in scaled])
        embeddings = self.encoder(frames.to(self._dtype)).flatten(2).mT
        images_with = embeddings + self._model.prompt_encoder.no_mask_embed.weight.to(self._dtype)
        return [
            _SamView(self, embedding.contiguous(), image.shape[:2], frame.shape[:2])
            for embedding, image, frame in zip(images_with, images, scaled, strict=True)
        ]

    @cached_property
    def parts(self) -> PromptParts:
        """What answers any prompt."""
        if self._load_parts is None:
            return PromptParts.of_model(self._model)
        return self._load_parts()

    def embed(self, image: UInt8Image) -> Tensor:
        """The encoder's features of an image without those of no mask: float32 (h * w, c)."""
        (view,) = self.encode([image])
        nothing: Tensor = self._model.prompt_encoder.no_mask_embed.weight
        return view.embedding.float() - nothing

    def _scale(self, images: Sequence[UInt8Image]) -> list[UInt8Image]:
        """Each to fit a frame; side by side where a device would wait for it."""
        if self.device.type == "cpu" or len(images) == 1:
            return [self._transform.apply_image(image) for image in images]
        with ThreadPoolExecutor(min(len(images), count_usable_cpus())) as pool:
            return list(pool.map(self._transform.apply_image, images))

    def _frame(self, scaled: UInt8Image) -> Tensor:
        pixels = torch.as_tensor(scaled, device=self._model.device).permute(2, 0, 1)
        frame: Tensor = self._model.preprocess(pixels.contiguous()[None])
        return frame

    def encode_points(self, points_xy: Float64s, size_hw: tuple[int, int]) -> Tensor:
        """The prompt encoder's tokens for points in the foreground: (n, 2, c)."""
        scaled = torch.as_tensor(self._transform.apply_coords(points_xy, size_hw))
        points = scaled.to(self._point_type).to(self._model.device)[:, None] + 0.5
        encoder = self._model.prompt_encoder
        encoded = encoder.pe_layer.forward_with_coords(points, encoder.input_image_size)
        # What the encoder does with labels, which it looks for on the device and waits for.
        foreground = encoded + encoder.point_embeddings[1].weight
        padding = encoder.not_a_point_embed.weight.expand_as(foreground)
        tokens: Tensor = torch.cat([foreground, padding], dim=1).to(self._dtype)
        return tokens

    def encode_boxes(self, boxes_xyxy: Float64s, size_hw: tuple[int, int]) -> Tensor:
        """The prompt encoder's tokens for the two corners of boxes: (n, 2, c)."""
        corners_xy = boxes_xyxy.reshape(-1, 2, 2)
        scaled = torch.as_tensor(self._transform.apply_coords(corners_xy, size_hw))
        corners = scaled.to(self._point_type).to(self._model.device) + 0.5
        encoder = self._model.prompt_encoder
        encoded = encoder.pe_layer.forward_with_coords(corners, encoder.input_image_size)
        kinds = [encoder.point_embeddings[2].weight, encoder.point_embeddings[3].weight]
        tokens: Tensor = (encoded + torch.stack(kinds, dim=1)).to(self._dtype)
        return tokens


def _convert(dtype: torch.dtype, module: nn.Module) -> nn.Module:
    """`module` itself in float32, else a copy of it."""
    return module if dtype == torch.float32 else convert_module(copy.deepcopy(module), dtype)
