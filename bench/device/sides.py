"""The unmodified package and ours on a device, with one model between them (see `mask_bank`)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from bench.mask_bank import BankDecoder, BankPrompter, Blend, MaskBank, wide_sam
from bench.parity import OURS_OFF
from pipeline.demo.scenes import compose
from pipeline.demo.sprites import bundled_sprites
from schemas.images import UInt8Image
from schemas.masks import CocoRle
from schemas.options import PromptsName, SegmenterOptions
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.parameters import batch_sizes
from workers.segmenters.sam_prompter import SamPrompter

PACKAGE_BATCH = 64  # its own default
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_MOST_TRIAL_POINTS = 8  # a side, to calibrate with


def make_sam(shape: str, *, quick: bool) -> Sam:
    """A `Sam` of the released shape `vit_b`, `vit_l` or `vit_h`, at random; quick: a small one."""
    if quick:
        return wide_sam()
    torch.manual_seed(0)
    sam: Sam = sam_model_registry[shape]()
    for name, weights in sam.mask_decoder.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weights.data *= 2  # as in `wide_sam`
    return sam.eval()


def draw_images(count: int, size_hw: tuple[int, int]) -> list[UInt8Image]:
    sprites = bundled_sprites()
    return [compose(np.random.default_rng(n), sprites, size_hw).image for n in range(count)]


def synchronize(device: str) -> None:
    """Wait for what the device has been given, before a clock is read."""
    if device == "cuda":
        torch.cuda.synchronize()


class PackageSide:
    """segment-anything's generator, in float32 as it is."""

    def __init__(self, sam: Sam, device: str, **parameters: Any) -> None:
        model = copy.deepcopy(sam).to(device)
        self.decoder = BankDecoder(model.mask_decoder)
        whole = Sam(model.image_encoder, model.prompt_encoder, self.decoder)
        self.model = whole.eval().to(device)
        self.device, self.parameters = device, parameters

    @torch.inference_mode()
    def calibrate(self, bank: MaskBank, image: UInt8Image) -> Blend:
        """What brings this decoder's outputs for an image to the bank's scale."""
        seen: list[tuple[Tensor, Tensor]] = []
        hook = self.decoder.decoder.register_forward_hook(lambda *call: seen.append(call[2]))
        self.decoder.blend = None
        points = min(math.isqrt(len(bank.logits)), _MOST_TRIAL_POINTS)
        self._generator(points, PACKAGE_BATCH).generate(image)
        hook.remove()
        return Blend.calibrated(bank, *seen[0])

    def take(self, blend: Blend | None) -> None:
        self.decoder.blend = blend and blend.to(self.device)

    def find(self, image: UInt8Image, points_per_side: int, batch: int) -> list[CocoRle]:
        self.decoder.at = 0
        notes = self._generator(points_per_side, batch).generate(image)
        size_hw = image.shape[:2]
        return [CocoRle(size_hw, n["segmentation"]["counts"]) for n in notes if n["area"]]

    def encode(self, image: UInt8Image) -> None:
        SamPredictor(self.model).set_image(image)

    def _generator(self, points_per_side: int, batch: int) -> SamAutomaticMaskGenerator:
        return SamAutomaticMaskGenerator(
            self.model,
            output_mode="coco_rle",
            points_per_side=points_per_side,
            points_per_batch=batch,
            **self.parameters,
        )


class OurSide:
    """Our segmenter, computing in `dtype`, with what the package cannot do switched off."""

    def __init__(self, sam: Sam, device: str, dtype: str, **parameters: Any) -> None:
        self.prompter = BankPrompter(SamPrompter(copy.deepcopy(sam), device, DTYPES[dtype]))
        self.device, self.parameters = device, parameters

    def take(self, blend: Blend | None) -> None:
        self.prompter.blend = blend and blend.to(self.device)

    def segmenter(self, points_per_side: int, prompts: PromptsName = "grid") -> GridSegmenter:
        parameters = {"points_per_side": points_per_side, **self.parameters, **OURS_OFF}
        return GridSegmenter(
            self.prompter,
            weights_sha256="0" * 64,
            options=SegmenterOptions(device=self.device, prompts=prompts, **parameters),
            defaults=batch_sizes(self.device),
        )

    def find(
        self, images: Sequence[UInt8Image], points_per_side: int, prompts: PromptsName = "grid"
    ) -> list[list[CocoRle]]:
        found = self.segmenter(points_per_side, prompts).segment(images)
        return [[mask.rle for mask in masks] for masks in found]

    def encode(self, images: Sequence[UInt8Image]) -> None:
        self.prompter.encode(images)
