"""Reads the outputs of DETR's kind: for each query a box, classes by sigmoid, and a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from schemas.masks import ObjectMask
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.trace_logits import keep_sure, label_masks, to_logit, trace_logits
from workers.segmenters.placement import Placement


@dataclass(frozen=True, slots=True, eq=False)
class DetrOutputs:
    """class_logits float (queries, classes) and mask_logits float (queries, h, w) of a frame."""

    class_logits: Tensor
    mask_logits: Tensor
    placement: Placement


@dataclass(frozen=True, slots=True)
class DetrHead:
    """Every query whose likeliest class is `score_thresh` likely is an instance; they may overlap.

    Its mask are the pixels of the image with a probability above `mask_thresh`.
    """

    classes: Classes
    score_thresh: float
    mask_thresh: float

    def find(self, frames: Sequence[DetrOutputs]) -> list[ObjectMask]:
        """frames: one, of the whole image."""
        (outputs,) = frames
        named = [name is not None for name in self.classes.names]
        probabilities = outputs.class_logits.float().sigmoid()
        probabilities = probabilities * probabilities.new_tensor(named)
        scores, numbers = probabilities.max(dim=1)
        kept = keep_sure(scores, self.score_thresh)
        threshold = to_logit(self.mask_thresh)
        rles = trace_logits(outputs.mask_logits[kept], outputs.placement, threshold)
        labels = [self.classes.names[number] for number in numbers[kept].tolist()]
        return label_masks(rles, labels, scores[kept])

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "DETR 1",
            "classes": self.classes.describe(),
            "score_thresh": self.score_thresh,
            "mask_thresh": self.mask_thresh,
        }
