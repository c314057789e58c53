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
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.images import UInt8Image
from workers.segmenters.decoder import ImagePlaces, attend, mask_logits, mask_weights, project

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

    def logits(self, chosen: BoolMatrix) -> Float32s:
        """Of the masks in bool (n, 3), in order: float32 (m, rows, low_side), the image's rows."""
        ...


class View(Protocol):
    """An encoded image."""

    def guess(self, points_xy: Float64s) -> Guesses:
        """float64 (n, 2), pixels of the image."""
        ...


class Prompter(Protocol):
    """A model that guesses masks from points.

    Images are scaled to fit `frame_side` pixels; logits have `low_side` to a frame's side.
    """

    frame_side: int
    low_side: int
    mask_threshold: float

    def encode(self, images: Sequence[UInt8Image]) -> Sequence[View]:
        """A view of each image, uint8 (height, width, 3); all are encoded at once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _SamGuesses:
    predicted_iou: Float32s
    prompter: SamPrompter
    tokens: Tensor
    places: Tensor
    rows: int

    @torch.inference_mode()
    def logits(self, chosen: BoolMatrix) -> Float32s:
        of_prompt = torch.from_numpy(chosen).to(self.places.device)
        asked = of_prompt.any(dim=1)
        rows, columns = self.rows, self.prompter.columns
        weights = mask_weights(self.prompter.heads, self.tokens[asked]).to(self.places.dtype)
        seen = self.places[asked, : rows * columns]
        cells = mask_logits(self.prompter.decoder, seen, weights)
        cells = cells.reshape(*cells.shape[:2], rows, columns, 4, 4)
        whole = cells.transpose(3, 4).flatten(4, 5).flatten(2, 3)
        out: Float32s = whole[of_prompt[asked]].float().cpu().numpy()
        return out


@dataclass(frozen=True, eq=False)
class _SamView:
    """`embedding` is float (h * w, c); `used_hw` is the image's size in the frame."""

    prompter: SamPrompter
    embedding: Tensor
    size_hw: tuple[int, int]
    used_hw: tuple[int, int]

    @cached_property
    def _image(self) -> ImagePlaces:
        return project(self.prompter.decoder, self.embedding, self.prompter.position)

    @torch.inference_mode()
    def guess(self, points_xy: Float64s) -> Guesses:
        prompter = self.prompter
        sparse = prompter.prompts(points_xy, self.size_hw)
        tokens, places = attend(prompter.decoder, self._image, sparse)
        tokens = tokens.float()
        predicted = prompter.heads.iou_prediction_head(tokens[:, 0])[:, 1:]
        used = self.used_hw[0] * prompter.low_side / prompter.frame_side
        rows = min(int(used + 1) // 4 + 1, prompter.columns)
        return _SamGuesses(predicted.cpu().numpy(), prompter, tokens, places, rows)


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
        self.heads: MaskDecoder = model.mask_decoder
        self.decoder: MaskDecoder = _in(dtype, model.mask_decoder)
        self.encoder = _in(dtype, model.image_encoder)
        self.frame_side: int = model.image_encoder.img_size
        self.mask_threshold: float = model.mask_threshold
        self._transform = ResizeLongestSide(self.frame_side)
        with torch.inference_mode():
            position = model.prompt_encoder.get_dense_pe()
        self.columns: int = position.shape[-1]
        self.low_side = 4 * self.columns
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
    """`module` itself in float32, else a copy with all but its batch norms in `dtype`."""
    if dtype == torch.float32:
        return module
    converted = copy.deepcopy(module).to(dtype)
    for part in converted.modules():
        # Eight bits are too few for statistics that are subtracted.
        if isinstance(part, _BatchNorm):
            part.float()
    return converted
