"""Asks a model about one image again and again: clicks, a box, and the mask of the last time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from schemas.box_choice import choose_mask
from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import BoolMask, ObjectMask
from workers.refiners.chain import RefiningChain
from workers.segmenter_protocols import Float32Logits, PromptedMask, Refiner
from workers.segmenters.candidates import Crop
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.mask_logits import frame_logits
from workers.segmenters.obeyed_clicks import obey_clicks
from workers.segmenters.prompt import Prompt
from workers.segmenters.prompt_zoom import (
    OUTSIDE,
    Part,
    Zoom,
    choose_square,
    find_bounds,
    is_near,
    resample,
)
from workers.segmenters.sam_prompter import SamPrompter

_SURE, _AMBIGUOUS = [0], [1, 2, 3]  # outputs of a mask decoder


class PromptableGridSegmenter(GridSegmenter):
    """A grid segmenter that also answers prompts, as segment-anything's predictor does.

    Its prompter is a `SamPrompter`, whose `parts` answer. What the grid finds, and with it the
    fingerprint, does not depend on them. With `zoom`, what is small in the image is looked at again
    in a part of it, for models whose frame shows too little of it. Boxes whose answers have a
    predicted IoU below `sure_of_boxes` are answered by the best of all masks in the image, if that
    is surer. `refiners` make answers finer. `prompts_sha256` is that of the parts that answer,
    where they are of another file than the encoder.
    """

    zoom: Zoom | None = None
    sure_of_boxes: float = 0.0
    refiners: tuple[Refiner, ...] = ()
    prompts_sha256: str = ""

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        """See `BoxMasker`: what prompts of one box each are answered with."""
        session = self.open_image(image)
        return [session.predict(box_xyxy=box).mask for box in boxes]

    def open_image(self, image: UInt8Image) -> SamPromptSession:
        """Encode uint8 (height, width, 3) RGB once for all of its prompts."""
        prompter = self.prompter
        assert isinstance(prompter, SamPrompter)
        crop = self.crops_of(image)[0]
        whole = _Look((0, 0, crop.box[2], crop.box[3]), crop, prompter.embed(crop.pixels))
        return SamPromptSession(self, prompter, image, whole)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """An encoded part of an image, or all of it: features float32 (h * w, c)."""

    part: Part
    crop: Crop
    features: Tensor

    @property
    def square(self) -> tuple[int, int, int]:
        """What the model's frame shows, pixels of the image: left, top, side."""
        return self.part[0], self.part[1], max(self.crop.size_hw)


@dataclass(eq=False)
class SamPromptSession:
    """An encoded image, uint8 (height, width, 3) RGB; `whole` may be padded."""

    segmenter: PromptableGridSegmenter
    prompter: SamPrompter
    image: UInt8Image
    whole: _Look
    _closer: _Look | None = field(default=None, init=False)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of the image, in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def predict(
        self,
        points_xy: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box_xyxy: tuple[float, float, float, float] | None = None,
        mask_input: Float32Logits | None = None,
    ) -> PromptedMask:
        """See `PromptSession`. A single click on an object may mean its part or what it belongs to.

        So for that the surest of three masks is taken. Other prompts have an output of their own,
        as segment-anything (A. Kirillov et al., 2023, appendix A) was trained.
        """
        prompt = Prompt(tuple(points_xy), tuple(labels), box_xyxy, mask_input)
        prompt.check(self.size_hw, self.prompter.low_side)
        return self._look_elsewhere(prompt, self._answer(prompt))

    def _answer(self, prompt: Prompt) -> PromptedMask:
        logits, predicted_iou = self._ask(self.whole, prompt)
        closer = self._look_closer(prompt, logits)
        if closer is not None:
            answer = self._answer_closer(closer, prompt, logits, predicted_iou)
            if answer is not None:
                return answer
        mask = self._trace(self.whole, prompt, logits, predicted_iou)
        return PromptedMask(mask, logits.cpu().numpy())

    def _look_elsewhere(self, prompt: Prompt, answer: PromptedMask) -> PromptedMask:
        """The best of all the image's masks for a box of whose answer the model is not sure."""
        box = prompt.only_box
        sureness = 0.0 if answer.mask is None else answer.mask.sureness
        if box is None or sureness >= self.segmenter.sure_of_boxes:
            return answer
        left, top = math.floor(box[0]), math.floor(box[1])
        right, bottom = math.ceil(box[2]), math.ceil(box[3])
        best = choose_mask(self._everything, (left, top, right, bottom))
        if best is None or self._everything[best].sureness <= sureness:
            return answer
        (mask,) = self._chain.refine([self._everything[best]])
        return PromptedMask(mask, self.frame_mask(mask.rle.decode()))

    @cached_property
    def _chain(self) -> RefiningChain:
        return RefiningChain.open_image(self.image, self.segmenter.refiners)

    @cached_property
    def _everything(self) -> list[ObjectMask]:
        """All masks of the image, found when a box first wants them."""
        return self.segmenter.segment([self.image])[0]

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
        return frame_logits(mask, self.whole.crop.size_hw, self.prompter.low_side)

    def _answer_closer(
        self, closer: _Look, prompt: Prompt, logits: Tensor, least_iou: float
    ) -> PromptedMask | None:
        """What is found in a part of the image.

        None if that cuts it off, or it is empty, or the model is surer of the whole image.
        """
        seen, predicted_iou = self._ask(closer, prompt)
        if predicted_iou < least_iou:
            return None
        mask = self._trace(closer, prompt, seen, predicted_iou)
        if mask is None:
            return None
        # Elsewhere there is no object, whatever was taken for one at first.
        back = resample(seen, closer.square, self.whole.square, logits.clamp(max=OUTSIDE))
        return PromptedMask(mask, back.cpu().numpy())

    def _look_closer(self, prompt: Prompt, logits: Tensor) -> _Look | None:
        """The part of the image round what is prompted, where it is small."""
        zoom, whole = self.segmenter.zoom, self.whole
        bounds = prompt.box_xyxy
        if bounds is None:
            bounds = find_bounds(logits > self.prompter.mask_threshold, whole.square)
        if zoom is None or bounds is None:
            return None
        bounds = prompt.include_points(bounds)
        square = choose_square(zoom, bounds, self.size_hw, has_box=prompt.box_xyxy is not None)
        if square is None:
            return None
        last = self._closer
        if last is None or not is_near(last.part, bounds, square):
            pixels = whole.crop.pixels[square[1] : square[3], square[0] : square[2]]
            crop = Crop(0, whole.crop.image_hw, square, 1, np.ascontiguousarray(pixels))
            last = self._closer = _Look(square, crop, self.prompter.embed(crop.pixels))
        return last

    def _ask(self, look: _Look, prompt: Prompt) -> tuple[Tensor, float]:
        """Logits (low_side, low_side) in the frame of what is looked at, and predicted IoU."""
        device = look.features.device
        seen = prompt.within(look.part)
        points = box = mask = None
        if seen.points_xy:
            points = self._scale(look, seen.points_xy), torch.as_tensor(seen.labels, device=device)
        if seen.box_xyxy is not None:
            corners = [seen.box_xyxy[:2], seen.box_xyxy[2:]]
            box = self._scale(look, corners).flatten()
        if seen.mask_input is not None:
            mask = torch.as_tensor(seen.mask_input, dtype=torch.float32, device=device)
            if look is not self.whole:
                mask = resample(mask, self.whole.square, look.square)
        logits, predicted = self.prompter.parts.decode(look.features, points, box, mask)
        outputs = _AMBIGUOUS if prompt.is_single_click else _SURE
        best = max(outputs, key=predicted.tolist().__getitem__)
        return logits[best], float(predicted[best])

    def _trace(
        self, look: _Look, prompt: Prompt, logits: Tensor, predicted_iou: float
    ) -> ObjectMask | None:
        point = prompt.place()
        scores = np.array([predicted_iou], np.float32)
        x0, y0 = look.part[:2]
        inner = (0.0, 0.0) if point is None else (point[0] - x0, point[1] - y0)
        masks = self.segmenter.trace_prompted(look.crop, logits[None], scores, inner, self.size_hw)
        if not masks:
            return None
        mask = masks[0]
        if self.segmenter.refiners:
            # Before, that a click grows to the colours round it, and after, that it is not undone.
            obeying = obey_clicks(mask, prompt)
            (mask,) = self._chain.refine([obeying])
            mask = obey_clicks(mask, prompt, obeying)
        if point is not None:
            return mask
        left, top, right, bottom = mask.bbox_xyxy
        return replace(mask, point_xy=((left + right) / 2, (top + bottom) / 2))

    def _scale(self, look: _Look, points_xy: Sequence[tuple[float, float]]) -> Tensor:
        """Pixels of what is looked at to those of the frame: float32 (n, 2)."""
        transform = ResizeLongestSide(self.prompter.frame_side)
        scaled = transform.apply_coords(np.array(points_xy, np.float64), look.crop.size_hw)
        return torch.as_tensor(scaled, dtype=torch.float32, device=look.features.device)
