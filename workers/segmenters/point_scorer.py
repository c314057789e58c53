"""Tells from an image's embedding at which points a model would find nothing that passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from schemas.errors import ModelError
from workers.models.weights import fill, read_weights, sha256_of
from workers.segmenters.candidates import Crop
from workers.segmenters.crop_chooser import CropChooser, split_tensors
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

HIDDEN = 64
PLACE = 9  # features of where a point is
_NEAR = 0.05  # of a crop's longer side
THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh")


class PointScorer(nn.Module):
    """Two layers over the embedding at a point and around it, and how far the edges are.

    They were learnt from what the decoder itself found with certain thresholds, which are kept
    beside the weights, as is `least_score`: a point below it is not worth a prompt. AoP-SAM
    (Y. Chen et al., AAAI 2025) showed that SAM's embedding carries where prompts pay.
    """

    pred_iou_thresh: Tensor
    stability_score_thresh: Tensor
    least_score: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * channels + PLACE, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        for name in (*THRESHOLDS, "least_score"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """float (n, 2 * channels + `PLACE`), of `gather_features`: logits, float (n,)."""
        logits: Tensor = self.out(nn.functional.gelu(self.hidden(features)))[:, 0]
        return logits

    def holds_for(self, parameters: Mapping[str, float]) -> bool:
        """Whether what passes these thresholds also passed those that it was learnt with."""
        return all(parameters[name] >= round(float(getattr(self, name)), 6) for name in THRESHOLDS)

    def explain_unused(self, parameters: Mapping[str, float]) -> str:
        """The sentence for a user whose thresholds it does not hold for."""
        learnt, given = (
            " and ".join(f"{name} {values[name]:g}" for name in THRESHOLDS)
            for values in ({name: float(getattr(self, name)) for name in THRESHOLDS}, parameters)
        )
        return (
            f"the scorer of points was learnt with {learnt}, and says nothing of what passes lower "
            f"ones, got {given}"
        )

    @torch.inference_mode()
    def score(self, embedding: Tensor, crop: Crop, points_xy: Float64s) -> Float32s:
        """How likely a mask of each point passes: float32 (n,), in 0..1.

        See `gather_features` for what is passed.
        """
        scores: Float32s = self(gather_features(embedding, crop, points_xy)).sigmoid().cpu().numpy()
        return scores

    def worth(self, scores: Float32s) -> npt.NDArray[np.bool_]:
        """Which scores are worth a prompt."""
        return scores >= np.float32(self.least_score.item())


def gather_features(embedding: Tensor, crop: Crop, points_xy: Float64s) -> Tensor:
    """What a scorer looks at: float32 (n, 2 * channels + `PLACE`), on the embedding's device.

    embedding float (side * side, channels), of the crop's frame; points_xy float64 (n, 2), pixels
    of the crop. The embedding at a point is interpolated between the cells around it, whose number
    it would else share with all of its cell; then comes the mean of the nine cells, then how far
    the crop's edges are.
    """
    side = math.isqrt(len(embedding))
    frame_xy = points_xy / max(crop.size_hw)
    image = embedding.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    at = torch.from_numpy(2 * frame_xy - 1).to(image)[None, :, None]
    here, around = (
        nn.functional.grid_sample(x, at, mode, "border", align_corners=False)[0, :, :, 0].T
        for x, mode in ((image, "bilinear"), (_mean_of_nine(image), "nearest"))
    )
    return torch.cat([here, around, _measure_place(crop, points_xy).to(image)], dim=1)


def _mean_of_nine(image: Tensor) -> Tensor:
    """Of each cell and the eight around it; at the edge, cells are repeated."""
    padded = nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return nn.functional.avg_pool2d(padded, 3, stride=1)


def _measure_place(crop: Crop, points_xy: Float64s) -> Tensor:
    """Of points of a crop, (n, `PLACE`): how far each edge is, and whether it cuts masks off.

    The distances, to the longer side, come twice: as they are, and up to the nearest that matter.
    """
    corner = np.array(crop.size_hw[::-1])
    distance = np.concatenate([points_xy, corner - points_xy], axis=1) / corner.max()
    near = np.minimum(distance / _NEAR, 1)
    cuts = np.full((len(points_xy), 1), float(not crop.is_whole))
    return torch.from_numpy(np.concatenate([distance, near, cuts], axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class LoadedScorer:
    """A scorer on a device, the SHA-256 of the file it came from, and the crops' chooser in it."""

    network: PointScorer
    sha256: str
    crops: CropChooser | None = None


def load_scorer(path: Path, channels: int, device: torch.device) -> LoadedScorer:
    """The scorer in a file, for embeddings of so many channels. Raises ModelError."""
    return _build_scorer(read_weights(path), sha256_of(path), channels, device)


def load_tuned(
    file: ScorerFile, model: ScorerOrigin, channels: int, device: torch.device
) -> LoadedScorer:
    """The scorer in a file, for embeddings of so many channels of a model.

    Raises ModelError where it was fitted to another model, or is none.
    """
    file.check_origin(model)
    try:
        tensors = load(file.content)
    except SafetensorError as exc:
        raise ModelError(f"the scorer {file.name!r} is damaged: {exc}") from exc
    return _build_scorer(tensors, file.sha256, channels, device)


def _build_scorer(
    tensors: Mapping[str, Tensor], sha256: str, channels: int, device: torch.device
) -> LoadedScorer:
    network = PointScorer(channels)
    of_points, crops = split_tensors(tensors)
    fill(network, of_points, "a scorer of points")
    return LoadedScorer(network.requires_grad_(False).to(device), sha256, crops)
