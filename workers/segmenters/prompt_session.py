"""Asks a model about one image again and again: clicks, a box, and the mask of the last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask
from workers.protocols import Float32Logits, PromptedMask
from workers.segmenters.candidates import Crop
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.mask_logits import frame_logits
from workers.segmenters.sam_prompter import SamPrompter

_Points = Sequence[tuple[float, float]]
_SURE, _AMBIGUOUS = [0], [1, 2, 3]  # outputs of a mask decoder


class PromptableGridSegmenter(GridSegmenter):
    """A grid segmenter that also answers prompts, as segment-anything's predictor does.

    Its prompter is a `SamPrompter`, whose `parts` answer. What the grid finds, and with it the
    fingerprint, does not depend on them.
    """

    def open_image(self, image: UInt8Image) -> SamPromptSession:
        """Encode uint8 (height, width, 3) RGB once for all of its prompts."""
        prompter = self.prompter
        assert isinstance(prompter, SamPrompter)
        crop = self.crops_of(image)[0]
        size_hw = image.shape[0], image.shape[1]
        return SamPromptSession(self, prompter, crop, size_hw, prompter.embed(crop.pixels))


@dataclass(frozen=True, eq=False)
class SamPromptSession:
    """An encoded image: features float32 (h * w, c).

    `crop` is the image, padded where the segmenter has to; `size_hw` its own size.
    """

    segmenter: GridSegmenter
    prompter: SamPrompter
    crop: Crop
    size_hw: tuple[int, int]
    features: Tensor

    def predict(
        self,
        points_xy: _Points = (),
        labels: Sequence[int] = (),
        box_xyxy: BoxXyxy | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        """See `PromptSession`. A single click on an object may mean its part or what it belongs to.

        So for that the surest of three masks is taken. Other prompts have an output of their own,
        as segment-anything (A. Kirillov et al., 2023, appendix A) was trained.
        """
        self._check(points_xy, labels, box_xyxy, mask_input)
        device = self.features.device
        points = box = mask = None
        if len(points_xy):
            points = self._scale(points_xy), torch.as_tensor(labels, device=device)
        if box_xyxy is not None:
            box = self._scale([box_xyxy[:2], box_xyxy[2:]]).flatten()
        if mask_input is not None:
            mask = torch.as_tensor(mask_input, dtype=torch.float32, device=device)
        logits, predicted = self.prompter.parts.decode(self.features, points, box, mask)
        is_click = list(labels) == [1] and box is None and mask is None
        outputs = _AMBIGUOUS if is_click else _SURE
        best = max(outputs, key=predicted.tolist().__getitem__)
        return self._trace(logits[best], float(predicted[best]), points_xy, labels, box_xyxy)

    def frame_mask(self, mask: BoolMask) -> Float32Logits:
        """See `PromptSession`, and `frame_logits`."""
        if mask.shape != self.size_hw:
            height, width = self.size_hw
            raise UsageError(
                f"expected a mask of {width} x {height} pixels, as the image has, "
                f"got one of {mask.shape[1]} x {mask.shape[0]}"
            )
        if not mask.any():
            raise UsageError("expected a mask that shows something, got an empty one")
        return frame_logits(mask, self.crop.size_hw, self.prompter.low_side)

    def _trace(
        self,
        logits: Tensor,
        predicted_iou: float,
        points_xy: _Points,
        labels: Sequence[int],
        box_xyxy: BoxXyxy | None,
    ) -> PromptedMask:
        on_object = [point for point, label in zip(points_xy, labels, strict=True) if label]
        point = on_object[-1] if on_object else None
        if point is None and box_xyxy is not None:
            point = _find_middle(box_xyxy)
        scores = np.array([predicted_iou], np.float32)
        masks = self.segmenter.trace_prompted(
            self.crop, logits[None], scores, point or (0.0, 0.0), self.size_hw
        )
        mask = masks[0] if masks else None
        if mask is not None and point is None:
            mask = replace(mask, point_xy=_find_middle(mask.bbox_xyxy))
        return PromptedMask(mask, logits.cpu().numpy())

    def _scale(self, points_xy: _Points) -> Tensor:
        """Pixels of the image to those of the frame: float32 (n, 2)."""
        transform = ResizeLongestSide(self.prompter.frame_side)
        scaled = transform.apply_coords(np.array(points_xy, np.float64), self.crop.size_hw)
        return torch.as_tensor(scaled, dtype=torch.float32, device=self.features.device)

    def _check(
        self,
        points_xy: _Points,
        labels: Sequence[int],
        box_xyxy: BoxXyxy | None,
        mask_input: Float32Logits | None,
    ) -> None:
        height, width = self.size_hw
        if not len(points_xy) and box_xyxy is None and mask_input is None:
            raise UsageError("expected a point, a box or a mask to prompt with, got none of them")
        if len(labels) != len(points_xy):
            raise UsageError(
                f"expected a label for each point, got {len(labels)} for {len(points_xy)} points"
            )
        for (x, y), label in zip(points_xy, labels, strict=True):
            if not (0 <= x < width and 0 <= y < height):
                raise UsageError(
                    f"expected a point within the image's {width} x {height} pixels, "
                    f"got {x:g},{y:g}"
                )
            if label not in (0, 1):
                raise UsageError(f"expected a point's label to be 0 or 1, got {label}")
        if box_xyxy is not None:
            x0, y0, x1, y1 = box_xyxy
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise UsageError(
                    f"expected a box x0,y0,x1,y1 within the image's {width} x {height} pixels, "
                    f"got {x0:g},{y0:g},{x1:g},{y1:g}"
                )
        side = self.prompter.low_side
        if mask_input is not None and mask_input.shape != (side, side):
            raise UsageError(
                f"expected a mask of {side} x {side} logits, got one of shape {mask_input.shape}"
            )


def _find_middle(box_xyxy: BoxXyxy) -> tuple[float, float]:
    x0, y0, x1, y1 = box_xyxy
    return (x0 + x1) / 2, (y0 + y1) / 2
