"""Turns images into a model's frames: resized, padded or cut into parts, and normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from schemas.errors import ModelError
from schemas.images import UInt8Image
from workers.segmenters.placement import Placement

ResizeName = Literal["stretch", "fit"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SHORT_OF_LONG_PX = 640
_BICUBIC = 3  # Pillow's number, of the hub's files
# Longer images than so many frames in a row are squeezed, or a thread of pixels would fill memory.
_MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class Preparation:
    """How an image becomes one frame or several.

    "stretch": to height and width `short_px` and `long_px`, whatever its shape. "fit": its shorter
    side to `short_px`, or less where its longer one would be more than `long_px` (None: any). Then
    it is padded at the right and bottom, to multiples of `divisor`, or to a square of `short_px`
    where `pad_square`; or, where `split`, cut along its longer side into squares of `short_px` that
    overlap evenly.
    """

    resize: ResizeName
    short_px: int
    long_px: int | None
    divisor: int = 1
    pad_square: bool = False
    split: bool = False
    bicubic: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return asdict(self)

    def place(self, size_hw: tuple[int, int]) -> list[Placement]:
        """Where an image lies in each of its frames."""
        used = self._resized(size_hw)
        if not self.split:
            return [Placement(size_hw, used, self._frame_of(used))]
        side = self.short_px
        longer = max(used)
        count = -(-longer // side)
        step = (longer - side) / (count - 1) if count > 1 else 0.0
        starts = [int(number * step) for number in range(count)]
        upright = used[0] > used[1]
        return [
            Placement(size_hw, used, (side, side), (start, 0) if upright else (0, start))
            for start in starts
        ]

    def make_frames(
        self, image: UInt8Image, places: list[Placement], device: torch.device
    ) -> Tensor:
        """float32 (frames, 3, height, width), normalised, of an image and its `place`."""
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(device)
        whole = pixels.permute(2, 0, 1)[None].float()
        mode = "bicubic" if self.bicubic else "bilinear"
        used = places[0].used_hw
        if whole.shape[2:] != used:
            # To whole levels, as from an image file of that size.
            whole = interpolate(whole, used, mode=mode, antialias=True).round().clamp(0, 255)
        mean, std = (
            whole.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (self.mean, self.std)
        )
        normal = (whole / 255 - mean) / std
        return torch.cat([_cut(normal, place) for place in places])

    def _resized(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        if self.resize == "stretch":
            return self.short_px, self.long_px or self.short_px
        longest = self.long_px or _MOST_PARTS * self.short_px
        scale = min(self.short_px / min(size_hw), longest / max(size_hw))
        height, width = (min(max(int(side * scale + 0.5), 1), longest) for side in size_hw)
        if self.split:
            # Along its shorter side an image fills its frames.
            height, width = max(height, self.short_px), max(width, self.short_px)
        return height, width

    def _frame_of(self, used_hw: tuple[int, int]) -> tuple[int, int]:
        least = self.short_px if self.pad_square else 1
        height, width = (-(-max(side, least) // self.divisor) * self.divisor for side in used_hw)
        return height, width


def _cut(whole: Tensor, place: Placement) -> Tensor:
    (top, left), (height, width) = place.offset_yx, place.frame_hw
    part = whole[:, :, top : top + height, left : left + width]
    return pad(part, (0, width - part.shape[3], 0, height - part.shape[2]))


def read_training_size(given: Mapping[str, Any], default: Preparation) -> Preparation:
    """As `read_preparation`, for files that were converted from Detectron2's.

    Their `size` is the 384 x 384 of the backbone's own training; `_max_size`, or `max_size`, tells
    which of Mask2Former's test sizes the model has: 800 by 1333 of COCO, 640 by 2560 of ADE20K.
    """
    longest = given.get("_max_size") or given.get("max_size")
    size = given.get("size")
    if isinstance(size, Mapping) and "height" in size and longest:
        short = default.short_px if longest <= (default.long_px or longest) else _SHORT_OF_LONG_PX
        given = {**given, "size": {"shortest_edge": short, "longest_edge": longest}}
    return read_preparation(given, default)


def read_preparation(given: Mapping[str, Any], default: Preparation) -> Preparation:
    """What the `preprocessor_config.json` of a hub's model says, over the family's `default`.

    Raises ModelError for sizes that are none.
    """
    size = given.get("size")
    resize, short, longest = default.resize, default.short_px, default.long_px
    if isinstance(size, Mapping) and "height" in size:
        resize, short, longest = "stretch", size["height"], size["width"]
    elif isinstance(size, Mapping) and "shortest_edge" in size:
        resize, short, longest = "fit", size["shortest_edge"], size.get("longest_edge")
    elif isinstance(size, int):
        short, longest = size, given.get("max_size") if resize == "fit" else size
    sides = [short] if longest is None else [short, longest]
    if any(type(side) is not int or side < 1 for side in sides):
        raise ModelError(f"expected sizes in pixels in preprocessor_config.json, got {size}")
    return Preparation(
        resize,
        short,
        longest,
        divisor=default.divisor,
        pad_square=bool(given.get("do_pad", default.pad_square)) and default.pad_square,
        split=bool(given.get("do_split_image", default.split)),
        bicubic=given.get("resample") == _BICUBIC,
        mean=tuple(given.get("image_mean") or default.mean),
        std=tuple(given.get("image_std") or default.std),
    )
