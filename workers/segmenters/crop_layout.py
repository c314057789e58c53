"""Lays crops over an image, points over a crop, and a crop's logits over the image's pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes
from segment_anything.utils.transforms import ResizeLongestSide

from schemas.images import UInt8Image
from workers.segmenters.candidates import Crop
from workers.segmenters.low_res import LowResMeter, Thresholds
from workers.segmenters.masks.choose_tracer import choose_tracer
from workers.segmenters.masks.tracer import Frame, Tracer, make_axis
from workers.segmenters.point_choice import Float64s
from workers.segmenters.sam_prompter import Prompter


class CropLayout:
    """segment-anything's crops and grids by its `parameters`, in the frames of a prompter."""

    def __init__(self, parameters: Mapping[str, float], prompter: Prompter) -> None:
        self._prompter = prompter
        self.layers = int(parameters["crop_n_layers"])
        self._overlap = parameters["crop_overlap_ratio"]
        self._stability_offset = parameters["stability_score_offset"]
        self._grids = build_all_layer_point_grids(
            int(parameters["points_per_side"]),
            self.layers,
            int(parameters["crop_n_points_downscale_factor"]),
        )

    def pad(self, image: UInt8Image) -> UInt8Image:
        """The image, larger where it is too small for its crops."""
        height, width = image.shape[:2]
        tall, wide = self._workable((height, width))
        if (tall, wide) == (height, width):
            return image
        return np.pad(image, ((0, tall - height), (0, wide - width), (0, 0)), mode="edge")

    def cut(self, number: int, padded: UInt8Image) -> Iterator[Crop]:
        """All crops of a padded image, itself first; `number` is its place in a batch."""
        size_hw = padded.shape[0], padded.shape[1]
        for box, layer in zip(*self._crops(size_hw), strict=True):
            x0, y0, x1, y1 = box
            yield Crop(number, size_hw, tuple(box), layer, padded[y0:y1, x0:x1])

    def grid_of(self, crop: Crop) -> Float64s:
        """The points that a crop may be asked at: float64 (n, 2), its pixels."""
        points: Float64s = self._grids[crop.layer] * np.array([crop.size_hw[::-1]])
        return points

    def make_tracer(self, crop: Crop) -> Tracer:
        """What draws masks of a crop at the size of its image."""
        x0, y0, _, _ = crop.box
        crop_hw, prompter = crop.size_hw, self._prompter
        low_side, frame_side = prompter.low_side, prompter.frame_side
        used_hw = self._fit(crop_hw)
        if prompter.stretches:
            # Without padding to cut off, logits become the crop's pixels in one step.
            frame_side, used_hw = low_side, (low_side, low_side)
        rows = make_axis(crop_hw[0], used_hw[0], low_side, frame_side)
        columns = make_axis(crop_hw[1], used_hw[1], low_side, frame_side)
        frame = Frame(crop_hw, x0, y0, crop.image_hw)
        tracing = choose_tracer(prompter.device)
        return tracing(rows, columns, frame, prompter.mask_threshold, self._stability_offset)

    def make_meter(self, crop: Crop, points_xy: Float64s) -> LowResMeter:
        """What tells by logits which of a crop's points, in its pixels, their masks hold."""
        prompter = self._prompter
        thresholds = Thresholds(prompter.mask_threshold, self._stability_offset)
        spans_hw = crop.size_hw if prompter.stretches else (max(crop.size_hw),) * 2
        return LowResMeter(crop.size_hw, prompter.low_side, thresholds, points_xy, spans_hw)

    def _crops(self, size_hw: tuple[int, int]) -> tuple[list[list[int]], list[int]]:
        """Boxes (xyxy) and layers of all crops."""
        boxes, layers = generate_crop_boxes(size_hw, self.layers, self._overlap)
        return boxes, layers

    def _workable(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size to pad an image to, so that no crop and no resized crop is empty."""
        height, width = size_hw
        while not self._divisible(height, width):
            if height <= width:
                height *= 2
            else:
                width *= 2
        return height, width

    def _divisible(self, height: int, width: int) -> bool:
        boxes, _ = self._crops((height, width))
        sides = ((y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes)
        return all(min(side) > 0 and min(self._fit(side)) > 0 for side in sides)

    def _fit(self, crop_hw: tuple[int, int]) -> tuple[int, int]:
        """The size that a crop has in its frame."""
        side = self._prompter.frame_side
        if self._prompter.stretches:
            return side, side
        used_hw: tuple[int, int] = ResizeLongestSide.get_preprocess_shape(*crop_hw, side)
        return used_hw
