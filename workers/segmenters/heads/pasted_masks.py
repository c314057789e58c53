"""Pastes the small masks of Mask R-CNN into their boxes, softly, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from schemas.masks import CocoRle, ObjectMask
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.regions import encode_window
from workers.segmenters.heads.trace_logits import keep_sure, label_masks

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PastedMasksHead:
    """Every detection of `score_thresh` or more is an instance; they may overlap.

    Its mask, interpolated to the pixels of its box, is what is at least `mask_thresh` there.
    """

    classes: Classes
    score_thresh: float
    mask_thresh: float

    def find(self, detections: dict[str, Tensor], size_hw: tuple[int, int]) -> list[ObjectMask]:
        """boxes float (n, 4), xyxy in pixels of the image; scores, labels (n,); masks (n, 1, h, w),
        probabilities."""
        scores = detections["scores"].float()
        kept = keep_sure(scores, self.score_thresh)
        boxes = detections["boxes"][kept].float().cpu().numpy()
        masks = detections["masks"][kept, 0].float().cpu().numpy()
        rles = [
            paste_mask(mask, box, size_hw, self.mask_thresh)
            for mask, box in zip(masks, boxes, strict=True)
        ]
        labels = [self.classes.names[label] for label in detections["labels"][kept].tolist()]
        return label_masks(rles, labels, scores[kept])

    def describe(self) -> dict[str, object]:
        """For a fingerprint."""
        return {
            "head": "pasted masks 1",
            "classes": self.classes.describe(),
            "score_thresh": self.score_thresh,
            "mask_thresh": self.mask_thresh,
        }


def paste_mask(
    mask: Float32s, box_xyxy: Float32s, size_hw: tuple[int, int], threshold: float
) -> CocoRle:
    """What of an image is at least `threshold`, where float32 `mask` (h, w) fills a box of it.

    The mask's places are the middles of equal parts of the box; between them it is interpolated
    bilinearly, and around them all is 0. Pixels stand for their centres.
    """
    x0, y0, x1, y1 = box_xyxy.tolist()
    top, down = _weigh_side(y0, y1, size_hw[0], mask.shape[0])
    left, across = _weigh_side(x0, x1, size_hw[1], mask.shape[1])
    soft = torch.from_numpy(down) @ torch.from_numpy(mask) @ torch.from_numpy(across).T
    return encode_window((soft >= threshold).numpy(), (left, top), size_hw)


def _weigh_side(low: float, high: float, size: int, places: int) -> tuple[int, Float32s]:
    """The first pixel of a side that a box touches, and weights: float32 (pixels, places)."""
    first = min(max(int(np.floor(low)), 0), size - 1)
    end = max(min(int(np.ceil(high)), size), first + 1)
    scale = places / max(high - low, 1e-6)
    at = (np.arange(first, end) + 0.5 - low) * scale - 0.5
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(places)), 0, None)
    return first, weights.astype(np.float32)
