"""Carries masks from frame to frame by SAM 2.1's video model (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.sam2_video import modeling_sam2_video
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceCache

from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import SegmenterOptions
from workers.models.model_entry import ModelEntry
from workers.segmenters.hub_loading import load_model
from workers.segmenters.sam2_memory import ObjectMemory
from workers.segmenters.sam2_prompter import make_frame
from workers.videos.propagator import CarriedMask

_LEAST_SCORE = 0.5  # as the model itself has it: below it an object is not seen
_LEAST_SHARE = 0.5  # of a pixel of the model's frame


def build(options: SegmenterOptions, cache_dir: Path | None, entry: ModelEntry) -> Sam2Propagator:
    """The video model of `entry` on `options.device`. Raises ModelError, DownloadError."""
    loaded = load_model(
        options, cache_dir, entry, modeling_sam2_video, "Sam2VideoModel", Sam2VideoConfig
    )
    return Sam2Propagator(loaded.model)


class Sam2Propagator:
    """transformers' `Sam2VideoModel`, ready for use on its device.

    It computes in float32, on the frames as images are seen: stretched to a square.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def open_shot(self, images: Sequence[UInt8Image]) -> Sam2Shot:
        """See `Propagator`."""
        return Sam2Shot(self.model, images)


class Sam2Shot:
    """See `MaskCarrier`. Each object is followed by itself; frames are encoded once for all."""

    def __init__(self, model: Any, images: Sequence[UInt8Image]) -> None:
        self._model, self._images = model, images
        self._place = 0
        self._cache = Sam2VideoInferenceCache(model.device, model.device)
        self.memories: dict[int, ObjectMemory] = {}

    @torch.inference_mode()
    def carry(self, masks: Mapping[int, ObjectMask | None]) -> dict[int, CarriedMask]:
        """See `MaskCarrier`."""
        self.memories = {
            number: self.memories.get(number) or ObjectMemory(self._model, self._cache)
            for number in masks
        }
        self._show(masks)
        self._place += 1
        image = self._images[self._place]
        if not masks:
            return {}
        frame = self._frame(image)
        size_hw = image.shape[0], image.shape[1]
        found = {}
        for number, memory in self.memories.items():
            logits, score = memory.follow(self._place, frame)
            mask = _read_mask(logits, size_hw) if score > _LEAST_SCORE else None
            if mask is not None:
                found[number] = CarriedMask(mask, score)
        return found

    def _show(self, masks: Mapping[int, ObjectMask | None]) -> None:
        given = {number: mask for number, mask in masks.items() if mask is not None}
        if not given:
            return
        frame = self._frame(self._images[self._place])
        for number, mask in given.items():
            self.memories[number].show(self._place, frame, self._frame_mask(mask))

    def _frame(self, image: UInt8Image) -> Tensor:
        return make_frame(image, self._model.image_size, self._model.device)

    def _frame_mask(self, mask: ObjectMask) -> Tensor:
        """float32 (1, 1, side, side), 0 or 1."""
        side = self._model.image_size
        pixels = torch.from_numpy(mask.rle.decode()).to(self._model.device).float()[None, None]
        pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        return (pixels >= _LEAST_SHARE).float()


def _read_mask(logits: Tensor, size_hw: tuple[int, int]) -> ObjectMask | None:
    """The mask of logits (1, 1, h, w), None if it is empty."""
    large = functional.interpolate(logits.float(), size_hw, mode="bilinear", align_corners=False)
    return ObjectMask.measure(CocoRle.from_mask((large[0, 0] > 0).cpu().numpy()))
