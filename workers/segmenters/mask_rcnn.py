"""`maskrcnn_resnet50_fpn` and `_v2`: torchvision's Mask R-CNN (BSD-3-Clause)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.models.weights import fetch, fill, read_weights, sha256_of, verify
from workers.segmenters.compute import computing
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.pasted_masks import PastedMasksHead
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.tasks import choose_score, choose_task

_COCO_CLASSES = 91


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The Mask R-CNN `options.name` on `options.device`.

    Weights: the local file `options.checkpoint`, or else those of `entry`. Raises UsageError,
    ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    choose_task(options, entry.task, ("instance",))
    if options.checkpoint is None:
        path = fetch(entry, cache_dir)
        sha256 = verify(path, entry)
    else:
        path = Path(options.checkpoint).expanduser()
        sha256 = sha256_of(path)
    make = getattr(torchvision.models.detection, entry.name)
    # On the meta device, millions of parameters are not first filled with noise.
    with torch.device("meta"):
        model = make(weights=None, weights_backbone=None, num_classes=_COCO_CLASSES)
    fill(model, read_weights(path), entry.name)
    return build_from(model, read_classes({}, _COCO_CLASSES), options, sha256)


def build_from(
    model: Any, classes: Classes, options: SegmenterOptions, weights_sha256: str
) -> LabelledSegmenter:
    """A segmenter of any of torchvision's `MaskRCNN`, whose class 0 is the background."""
    return LabelledSegmenter(BoxDetector(model, classes, options), options, weights_sha256)


class BoxDetector:
    """A `MaskRCNN`, whose own last step would hold every mask as large as the image."""

    def __init__(self, model: Any, classes: Classes, options: SegmenterOptions) -> None:
        self._model = model.eval().requires_grad_(False).to(options.device)
        self._options = options
        score = choose_score(options, "instance")
        self._head = PastedMasksHead(classes, score, options.mask_thresh)
        # What is dropped later needs no mask; it would suppress nothing that is surer.
        model.roi_heads.score_thresh = score
        # Boxes are made in the type of what moves them: bfloat16 would round them to 4 pixels.
        for part in (model.rpn.head, model.roi_heads.box_predictor):
            part.bbox_pred.register_forward_hook(lambda module, args, moves: moves.float())

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        padded = self._pad(image)
        with computing(self._options):
            found, frame_hw = self._detect(padded)
        sides = zip(padded.shape[1::-1], frame_hw[::-1], strict=True)
        scale = found["boxes"].new_tensor([side / of_frame for side, of_frame in sides])
        found["boxes"] = found["boxes"] * scale.repeat(2)
        with torch.inference_mode():
            return self._head.find(found, (image.shape[0], image.shape[1]))

    def _pad(self, image: UInt8Image) -> UInt8Image:
        """So wide and so high that a thread of pixels is not resized to nothing."""
        height, width = image.shape[:2]
        least = -(-max(height, width) // self._model.transform.max_size)
        missing = (0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0)
        return np.pad(image, missing, mode="edge")

    def _detect(self, image: UInt8Image) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Detections in the resized image, and its size; masks are as small as they come."""
        model = self._model
        pixels = torch.tensor(image, device=self._options.device).permute(2, 0, 1) / 255
        frames, _ = model.transform([pixels])
        features = model.backbone(frames.tensors)
        if isinstance(features, Tensor):
            features = {"0": features}
        # Anchors are made in their type.
        features = {name: level.float() for name, level in features.items()}
        proposals, _ = model.rpn(frames, features)
        found, _ = model.roi_heads(features, proposals, frames.image_sizes)
        return found[0], frames.image_sizes[0]

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        transform = self._model.transform
        return {
            "least_px": list(transform.min_size),
            "most_px": transform.max_size,
            "head": self._head.describe(),
        }
