"""SAM's mask decoder at its true size, without trained weights.

Random weights give masks that no threshold keeps. So the decoder runs as it is, at full cost, and
what it returns, brought to unit variance, is added as a perturbation to a bank of drawn mask
logits: objects of three sizes with the slopes and the range that SAM's logits have. Whatever a
faster decoder computes wrongly reaches the final masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn
from torch.nn.functional import interpolate

from schemas.images import UInt8Image
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.sam_prompter import BoolMatrix, Float32s, Float64s, Guesses, Prompter, View

_FRAME_SIDE, _LOW_SIDE = 1024, 256
_LOGIT_SHARE, _IOU_SHARE = 0.35, 0.01  # standard deviations of the perturbations
_RANGE = -25.0, 18.0
# Of the three outputs: objects drawn, their radii in low-resolution pixels, slope of the logits.
_SCALES = ((220, (3, 11), 11.0), (55, (9, 28), 6.5), (12, (25, 70), 4.5))
_WAVES = np.array([0.12, 0.10, 0.08, 0.05, 0.04])  # by which an outline leaves the ellipse


def wide_sam(seed: int = 0) -> Sam:
    """A `Sam` with the decoder of the released models and a small image encoder, at random."""
    torch.manual_seed(seed)
    side = _FRAME_SIDE // 16
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    for name, weights in decoder.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weights.data *= 2  # so that what a prompt reads depends on the prompt
    encoder = ImageEncoderViT(
        img_size=_FRAME_SIDE, depth=2, embed_dim=96, num_heads=3, out_chans=256, use_rel_pos=True,
        window_size=14, global_attn_indexes=(1,), norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    prompts = PromptEncoder(256, (side, side), (_FRAME_SIDE, _FRAME_SIDE), 16)
    return Sam(encoder, prompts, decoder).eval()


@dataclass(frozen=True, slots=True, eq=False)
class MaskBank:
    """What is guessed for each point of a square grid, row by row.

    logits (n, 3, 256, 256), on the device of the decoder; predicted IoU (n, 3), on the CPU.
    """

    logits: Tensor
    predicted_iou: Tensor

    def find_rows(self, points_xy: Float64s, size_hw: tuple[int, int]) -> Tensor:
        """The rows of points of the grid, pixels of an image of this size: int64 (n,)."""
        side = math.isqrt(len(self.logits))
        column, row = (points_xy / np.array(size_hw[::-1]) * side).astype(np.int64).T
        return torch.from_numpy(row * side + column)

    def to(self, device: str) -> MaskBank:
        """The same masks for a decoder on `device`."""
        return MaskBank(self.logits.to(device), self.predicted_iou)

    def none_sure(self) -> MaskBank:
        """The same masks, with a predicted IoU that no threshold keeps."""
        return MaskBank(self.logits, torch.full_like(self.predicted_iou, 0.1))


def draw_bank(size_hw: tuple[int, int], points_per_side: int, seed: int) -> MaskBank:
    """Nested blobs at three scales, each asked point's outline a little different."""
    rng = np.random.default_rng(seed)
    used_hw = np.array(size_hw) * _LOW_SIDE / max(size_hw)
    ticks = (np.arange(points_per_side) + 0.5) / points_per_side
    points = np.stack(np.meshgrid(ticks * used_hw[1], ticks * used_hw[0]), -1).reshape(-1, 2)
    coarse, fine = (_noise(rng, count, cells) for count, cells in ((64, 40), (16, 110)))
    logits = torch.empty(len(points), 3, _LOW_SIDE, _LOW_SIDE)
    predicted = torch.empty(len(points), 3)
    for output, (count, radii, slope) in enumerate(_SCALES):
        centres = rng.uniform(0, 1, (count, 2)) * used_hw[::-1]
        radius = np.exp(rng.uniform(*np.log(radii), count))
        outlines = [_outline(rng, centre) for centre in centres]
        for row, point in enumerate(points):
            away = np.hypot(*(centres - point).T) / radius
            nearest = int(away.argmin())
            inside = away[nearest] < 1.1
            steep = slope * math.exp(rng.normal(0, 0.5)) * (1 if inside else 0.5)
            edge, distance = outlines[nearest]
            field = steep * (radius[nearest] * rng.normal(1, 0.015) * edge - distance)
            field += 0.8 * coarse[rng.integers(len(coarse))] + 0.25 * fine[rng.integers(len(fine))]
            logits[row, output] = torch.from_numpy(field.clip(*_RANGE))
            sure = (0.94 if inside else 0.8) + 0.025 * math.log(steep / slope)
            predicted[row, output] = min(sure + rng.normal(0, 0.045), 1.03)
    return MaskBank(logits, predicted)


def _noise(rng: np.random.Generator, count: int, cells: int) -> np.ndarray:
    grid = torch.from_numpy(rng.normal(size=(count, 1, cells, cells)).astype(np.float32))
    smooth = interpolate(grid, (_LOW_SIDE, _LOW_SIDE), mode="bicubic", align_corners=False)
    out: np.ndarray = smooth[:, 0].numpy()
    return out


def _outline(rng: np.random.Generator, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel: the outline's radius in its direction, 1 on average, and its distance."""
    rows, columns = np.mgrid[0:_LOW_SIDE, 0:_LOW_SIDE].astype(np.float32) + 0.5
    tilt, stretch = rng.uniform(0, math.pi), math.sqrt(rng.uniform(0.55, 1.8))
    x, y = columns - np.float32(centre[0]), rows - np.float32(centre[1])
    along = (x * math.cos(tilt) + y * math.sin(tilt)) / stretch
    across = (y * math.cos(tilt) - x * math.sin(tilt)) * stretch
    angle = np.arctan2(across, along)
    edge = np.ones_like(angle)
    for wave, (height, phase) in enumerate(
        zip(rng.normal(0, _WAVES), rng.uniform(0, 2 * math.pi, len(_WAVES)), strict=True), start=2
    ):
        edge += np.float32(height) * np.sin(wave * angle + np.float32(phase))
    return edge, np.hypot(along, across)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A bank, and what the decoder returns on average, by which it is brought to unit variance."""

    bank: MaskBank
    logit_mean: float
    logit_std: float
    iou_mean: Tensor
    iou_std: Tensor

    @staticmethod
    def calibrated(bank: MaskBank, logits: Tensor, predicted_iou: Tensor) -> Blend:
        """From what the decoder returned for some points: (n, 3, h, w) and (n, 3)."""
        std, mean = torch.std_mean(predicted_iou.cpu(), dim=0)
        return Blend(bank, logits.mean().item(), logits.std().item(), mean, std + 1e-9)

    def to(self, device: str) -> Blend:
        """The same for a decoder on `device`."""
        return replace(self, bank=self.bank.to(device))

    def logits(self, drawn: Tensor, computed: Tensor) -> Tensor:
        return torch.add(drawn, computed - self.logit_mean, alpha=_LOGIT_SHARE / self.logit_std)

    def predicted_iou(self, drawn: Tensor, computed: Tensor) -> Tensor:
        return drawn + _IOU_SHARE * (computed - self.iou_mean) / self.iou_std


class BankDecoder(nn.Module):
    """`decoder`, its outputs blended into a bank; set `blend` and `at` before each image."""

    def __init__(self, decoder: MaskDecoder) -> None:
        super().__init__()
        self.decoder, self.at = decoder, 0
        self.blend: Blend | None = None

    def forward(self, **inputs: Any) -> tuple[Tensor, Tensor]:
        logits, predicted = self.decoder(**inputs)
        if self.blend is None:
            return logits, predicted
        rows = slice(self.at, self.at + len(logits))
        self.at = rows.stop
        bank = self.blend.bank
        return (
            self.blend.logits(bank.logits[rows], logits),
            self.blend.predicted_iou(bank.predicted_iou[rows], predicted.cpu()).to(predicted),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _BlendedGuesses:
    inner: Guesses
    blend: Blend
    rows: Tensor
    predicted_iou: Float32s
    mask_tokens: None = None  # those of the decoder do not say what is drawn

    def logits(self, chosen: BoolMatrix, levels: Levels | None = None) -> Tensor:  # of all places
        computed = self.inner.logits(chosen)
        point, output = torch.from_numpy(chosen).nonzero().T
        drawn = self.blend.bank.logits[self.rows[point], output, : computed.shape[1]]
        return self.blend.logits(drawn, computed)


@dataclass(frozen=True, slots=True, eq=False)
class _BlendedView:
    inner: View
    size_hw: tuple[int, int]
    blend: Blend
    note: Callable[[int], None]

    @property
    def embedding(self) -> Tensor:
        return self.inner.embedding

    def guess(self, points_xy: Float64s) -> Guesses:
        self.note(len(points_xy))
        guesses, bank = self.inner.guess(points_xy), self.blend.bank
        rows = bank.find_rows(points_xy, self.size_hw)
        computed = torch.from_numpy(guesses.predicted_iou)
        predicted = self.blend.predicted_iou(bank.predicted_iou[rows], computed)
        return _BlendedGuesses(guesses, self.blend, rows, predicted.numpy())


class BankPrompter:
    """The same for our side. `prompts`: how many points it has been asked."""

    def __init__(self, inner: Prompter) -> None:
        self._inner = inner
        self.prompts = 0
        self.blend: Blend | None = None
        self.frame_side, self.low_side = inner.frame_side, inner.low_side
        self.stretches = inner.stretches
        self.mask_threshold, self.device = inner.mask_threshold, inner.device

    def encode(self, images: Sequence[UInt8Image]) -> Sequence[View]:
        views, blend = self._inner.encode(images), self.blend
        if blend is None:
            return views
        pairs = zip(views, images, strict=True)
        return [_BlendedView(view, image.shape[:2], blend, self._note) for view, image in pairs]

    def _note(self, points: int) -> None:
        self.prompts += points
