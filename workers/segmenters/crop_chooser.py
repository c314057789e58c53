"""Tells from what a whole image has shown which of its crops are worth a look of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from schemas.errors import ModelError
from schemas.masks import BoolMask, CocoRle
from schemas.overlaps import unite_rles
from workers.segmenters.candidates import Candidates, Crop

Bools = npt.NDArray[np.bool_]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

VERSION = 1  # to be raised whenever the same crop has other features
FEATURES = 8
_LIKELY, _SURE = 0.15, 0.5  # scores of points
_PREFIX = "crops."  # of its tensors in a scorer's file


@dataclass(frozen=True, slots=True, eq=False)
class CropChooser:
    """A logistic regression: how likely a crop shows what its whole image has not shown.

    weights float64 (`FEATURES`,). A crop whose logit is below `least_logit` is not worth its
    encoding. It was learnt from what a model's own crops added to its whole images.
    """

    weights: Float64s
    bias: float
    least_logit: float

    def score(self, features: Float64s) -> Float64s:
        """Logits of crops, float64 (n,), by float64 (n, `FEATURES`), see `measure_crops`."""
        logits: Float64s = features @ self.weights + self.bias
        return logits

    def find_worth(self, features: Float64s) -> Bools:
        """Which of the crops are worth their encoding: bool (n,)."""
        worth: Bools = self.score(features) >= self.least_logit
        return worth

    def to_tensors(self) -> dict[str, Tensor]:
        """What a scorer's file keeps of it."""
        return {
            f"{_PREFIX}weights": torch.from_numpy(self.weights),
            f"{_PREFIX}bias": torch.tensor(self.bias, dtype=torch.float64),
            f"{_PREFIX}least_logit": torch.tensor(self.least_logit, dtype=torch.float64),
        }


def split_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], CropChooser | None]:
    """The tensors of a scorer's points, and its chooser of crops, if it has one.

    Raises ModelError for one of other features.
    """
    own = {name: value for name, value in tensors.items() if name.startswith(_PREFIX)}
    others = {name: value for name, value in tensors.items() if name not in own}
    if not own:
        return others, None
    shapes = {name.removeprefix(_PREFIX): tuple(value.shape) for name, value in own.items()}
    expected = {"weights": (FEATURES,), "bias": (), "least_logit": ()}
    if shapes != expected:
        raise ModelError(
            f"expected a chooser of crops with the tensors {expected} in the scorer, got {shapes}"
        )
    weights: Float64s = own[f"{_PREFIX}weights"].double().cpu().numpy()
    bias, least = (float(own[f"{_PREFIX}{name}"]) for name in ("bias", "least_logit"))
    return others, CropChooser(weights, bias, least)


def measure_crops(
    image_hw: tuple[int, int],
    crops: Sequence[Crop],
    grids: Iterable[Float64s],
    score: Callable[[Float64s], Float32s],
    found: Candidates,
) -> Float64s:
    """What a chooser looks at, of each of one or more crops: float64 (crops, `FEATURES`).

    grids: points of each crop, float64 (n, 2), in its pixels. `score` says of places in the image,
    float64 (n, 2), how likely a mask passes there as the whole image shows it: float32 (n,).
    `found` is what the whole image has shown.
    """
    covered = unite_rles([CocoRle(image_hw, counts) for counts in found.counts], image_hw)
    places = [xy + crop.box[:2] for crop, xy in zip(crops, grids, strict=True)]
    ends = np.cumsum([len(place) for place in places])[:-1]
    scores = np.split(score(np.concatenate(places)), ends)
    return np.array(
        [
            _measure_crop(crop.box, in_image, of_crop, found, covered)
            for crop, in_image, of_crop in zip(crops, places, scores, strict=True)
        ]
    )


def _measure_crop(
    box_xyxy: tuple[int, ...],
    in_image: Float64s,
    scores: Float32s,
    found: Candidates,
    covered: BoolMask,
) -> tuple[float, ...]:
    """The mean score and shares of points by score, of all and of those that nothing covers.

    Then how much of the crop is covered, and how many masks lie in it, as a number and a logarithm.
    """
    x0, y0, x1, y1 = box_xyxy
    x, y = np.floor(in_image).astype(np.int64).T
    is_open, likely = ~covered[y, x], scores >= _LIKELY
    boxes = found.rows["box"]  # with the last column and row
    inside = (boxes[:, :2] >= (x0, y0)) & (boxes[:, 2:] < (x1, y1))
    masks = int(inside.all(axis=1).sum())
    return (
        float(scores.mean()), float(likely.mean()), float((scores >= _SURE).mean()),
        float((scores * is_open).mean()), float((likely & is_open).mean()),
        float(covered[y0:y1, x0:x1].mean()), float(masks), math.log1p(masks),
    )  # fmt: skip
