"""`eomt_*`: EoMT, a plain vision transformer whose last blocks carry queries (MIT)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.models.eomt import modeling_eomt
from transformers.models.eomt.configuration_eomt import EomtConfig

from schemas.options import SegmenterOptions, TaskName
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.heads.classes import read_classes
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import build_from, choose_task
from workers.segmenters.preparation import Preparation, read_preparation

_TASKS: tuple[TaskName, ...] = ("panoptic", "semantic", "instance")


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The EoMT `options.name` on `options.device`. Raises UsageError, ModelError, DownloadError."""
    entry = entry or catalog.find(options.name, "segmenter")
    task = choose_task(options, entry.task, _TASKS)
    loaded = load_model(
        options, cache_dir, entry, modeling_eomt, "EomtForUniversalSegmentation", EomtConfig
    )
    model: Any = loaded.model
    side = model.config.image_size
    # Class maps are learnt from square cut-outs, instances and segments from whole images.
    whole = entry.task != "semantic"
    usual = Preparation("fit", side, side if whole else None, pad_square=whole, split=not whole)

    def run(frames: Tensor) -> tuple[Tensor, Tensor]:
        outputs = model(pixel_values=frames)
        return outputs.class_queries_logits, outputs.masks_queries_logits

    return build_from(
        run,
        read_classes(loaded.config, model.config.num_labels),
        read_preparation(loaded.preparation, usual),
        task,
        options,
        loaded.weights_sha256,
    )
