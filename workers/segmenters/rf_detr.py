"""`rf_detr_seg_*`: RF-DETR with masks, instances that may overlap (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.models.rf_detr import modeling_rf_detr
from transformers.models.rf_detr.configuration_rf_detr import RfDetrConfig

from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.compute import computing
from workers.segmenters.heads.classes import Classes, read_classes
from workers.segmenters.heads.detr import DetrHead
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import INSTANCE_SCORE, choose_task
from workers.segmenters.preparation import Preparation, read_preparation

# The frames that each size is trained with, for weights that come without their own.
_SIDES = {"nano": 312, "small": 384, "medium": 432, "large": 504, "xlarge": 624, "2xlarge": 768}


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The RF-DETR `options.name` on `options.device`.

    Raises UsageError, ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    choose_task(options, entry.task, ("instance",))
    loaded = load_model(
        options, cache_dir, entry, modeling_rf_detr, "RfDetrForInstanceSegmentation", RfDetrConfig
    )
    model: Any = loaded.model
    side = _SIDES.get(entry.name.removeprefix("rf_detr_seg_"), _SIDES["medium"])
    preparation = read_preparation(loaded.preparation, Preparation("stretch", side, side))
    classes = read_classes(loaded.config, model.config.num_labels)
    finder = QueryDetector(model, classes, preparation, options)
    return LabelledSegmenter(finder, options, loaded.weights_sha256)


class QueryDetector:
    """A network of DETR's kind with a mask for each of its queries."""

    def __init__(
        self, model: Any, classes: Classes, preparation: Preparation, options: SegmenterOptions
    ) -> None:
        self._model, self._preparation, self._options = model, preparation, options
        score = options.score_thresh
        self._head = DetrHead(
            classes, INSTANCE_SCORE if score is None else score, options.mask_thresh
        )

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        places = self._preparation.place((image.shape[0], image.shape[1]))
        device = torch.device(self._options.device)
        with computing(self._options):
            frames = self._preparation.make_frames(image, places, device)
            outputs = self._model(pixel_values=frames)
        with torch.inference_mode():
            return self._head.find(outputs.logits[0], outputs.pred_masks[0], places[0])

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {"preparation": self._preparation.describe(), "head": self._head.describe()}
