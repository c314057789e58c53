"""A `Sam` prompted with many points of one image: predicted IoU first, logits for what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from schemas.images import UInt8Image
from workers.segmenters.decoder import attend, mask_weights, upscale

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


class Prompter(Protocol):
    """A model that guesses masks from points.

    Images are scaled to fit `frame_side` pixels; logits have `low_side` to a frame's side.
    """

    frame_side: int
    low_side: int
    mask_threshold: float

    def look_at(self, image: UInt8Image) -> None:
        """Encode an image, to which the points refer until the next."""
        ...

    def guess(self, points_xy: Float64s) -> Guesses:
        """float64 (n, 2), pixels of the image."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _SamGuesses:
    predicted_iou: Float32s
    model: Sam
    tokens: Tensor
    places: Tensor
    rows: int
    columns: int

    @torch.inference_mode()
    def logits(self, chosen: BoolMatrix) -> Float32s:
        of_prompt = torch.from_numpy(chosen).to(self.places.device)
        asked = of_prompt.any(dim=1)
        decoder, rows, columns = self.model.mask_decoder, self.rows, self.columns
        upscaled = upscale(decoder, self.places[asked, : rows * columns])
        weights = mask_weights(decoder, self.tokens[asked])
        logits = upscaled.flatten(1, 3) @ weights.mT  # (n, rows * columns * 4 * 4, 3)
        cells = logits.reshape(len(logits), rows, columns, 4, 4, -1)
        whole = cells.permute(0, 5, 1, 3, 2, 4).reshape(len(cells), -1, 4 * rows, 4 * columns)
        out: Float32s = whole[of_prompt[asked]].float().cpu().numpy()
        return out


class SamPrompter:
    """segment-anything's `Sam` on a device."""

    def __init__(self, model: Sam, device: str) -> None:
        self._model = model.eval().to(device)
        self._predictor = SamPredictor(self._model)
        self.frame_side: int = model.image_encoder.img_size
        self.mask_threshold: float = model.mask_threshold
        with torch.inference_mode():
            position = model.prompt_encoder.get_dense_pe()
        self._columns: int = position.shape[-1]
        self.low_side = 4 * self._columns
        self._position = position[0].flatten(1).T.contiguous()
        # Apple's devices have no float64.
        self._point_type = torch.float32 if device == "mps" else torch.float64

    @torch.inference_mode()
    def look_at(self, image: UInt8Image) -> None:
        self._predictor.set_image(image)
        embedding = self._predictor.features[0].flatten(1).T
        self._image = embedding + self._model.prompt_encoder.no_mask_embed.weight
        self._size_hw = image.shape[:2]

    @torch.inference_mode()
    def guess(self, points_xy: Float64s) -> Guesses:
        transform: ResizeLongestSide = self._predictor.transform
        scaled = torch.as_tensor(transform.apply_coords(points_xy, self._size_hw))
        points = scaled.to(self._point_type).to(self._position.device)[:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        sparse, _ = self._model.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        decoder = self._model.mask_decoder
        tokens, places = attend(decoder, self._image, self._position, sparse)
        predicted = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
        used = self._predictor.input_size[0] * self.low_side / self.frame_side
        rows = min(int(used + 1) // 4 + 1, self._columns)
        return _SamGuesses(
            predicted.float().cpu().numpy(), self._model, tokens, places, rows, self._columns
        )
