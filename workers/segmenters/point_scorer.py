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
from workers.segmenters.tuned_scorers import ScorerFile, ScorerOrigin

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

HIDDEN = 64
THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh")


class PointScorer(nn.Module):
    """Two layers over the embedding of a point's cell and the mean of the nine around it.

    They were learnt from what the decoder itself found with certain thresholds, which are kept
    beside the weights, as is `least_score`: a point below it is not worth a prompt. AoP-SAM
    (Y. Chen et al., AAAI 2025) showed that SAM's embedding carries where prompts pay.
    """

    pred_iou_thresh: Tensor
    stability_score_thresh: Tensor
    least_score: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * channels, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        for name in (*THRESHOLDS, "least_score"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """float (n, 2 * channels), of `gather_features`: logits, float (n,)."""
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
    def score(self, embedding: Tensor, frame_xy: Float64s) -> Float32s:
        """How likely a mask of each point passes: float32 (n,), in 0..1.

        See `gather_features` for what is passed.
        """
        scores: Float32s = self(gather_features(embedding, frame_xy)).sigmoid().cpu().numpy()
        return scores

    def worth(self, scores: Float32s) -> npt.NDArray[np.bool_]:
        """Which scores are worth a prompt."""
        return scores >= np.float32(self.least_score.item())


def gather_features(embedding: Tensor, frame_xy: Float64s) -> Tensor:
    """What a scorer looks at: float32 (n, 2 * channels), on the embedding's device.

    embedding float (side * side, channels); frame_xy float64 (n, 2), points in the frame that it is
    of, whose side is 1. At the edge of the frame, cells are repeated.
    """
    side = math.isqrt(len(embedding))
    cells = torch.from_numpy(np.floor(frame_xy * side).clip(0, side - 1).astype(np.int64))
    steps = torch.tensor([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])
    around = (cells[:, None] + steps).clamp(0, side - 1)
    flat = (around[..., 1] * side + around[..., 0]).to(embedding.device)
    values = embedding[flat].float()
    return torch.cat([values[:, 4], values.mean(dim=1)], dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedScorer:
    """A scorer on a device, and the SHA-256 of the file it came from."""

    network: PointScorer
    sha256: str


def load_scorer(path: Path, channels: int, device: torch.device) -> LoadedScorer:
    """The scorer in a file, for embeddings of so many channels. Raises ModelError."""
    scorer = PointScorer(channels)
    fill(scorer, read_weights(path), "a scorer of points")
    return LoadedScorer(scorer.requires_grad_(False).to(device), sha256_of(path))


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
    scorer = PointScorer(channels)
    fill(scorer, tensors, "a scorer of points")
    return LoadedScorer(scorer.requires_grad_(False).to(device), file.sha256)
