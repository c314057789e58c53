"""`rf_detr_seg_*`: RF-DETR with masks, instances that may overlap (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from transformers.models.rf_detr import modeling_rf_detr
from transformers.models.rf_detr.configuration_rf_detr import RfDetrConfig

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.frame_finder import FrameFinder
from workers.segmenters.heads.detr import DetrHead, DetrOutputs
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.placement import Placement
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.tasks import choose_score, choose_task

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
    side = _SIDES.get(entry.name.removeprefix("rf_detr_seg_"), _SIDES["medium"])
    preparation = read_preparation(loaded.preparation, Preparation("stretch", side, side))

    def see(frame: Tensor, place: Placement) -> DetrOutputs:
        outputs = loaded.model(pixel_values=frame)
        return DetrOutputs(outputs.logits[0], outputs.pred_masks[0], place)

    head = DetrHead(loaded.classes, choose_score(options, "instance"), options.mask_thresh)
    finder = FrameFinder(see, head, preparation, options)
    return LabelledSegmenter(finder, options, loaded.weights_sha256)
