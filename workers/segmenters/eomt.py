"""`eomt_*`: EoMT, a plain vision transformer whose last blocks carry queries (MIT)."""

from __future__ import annotations

from pathlib import Path

from transformers.models.eomt import modeling_eomt
from transformers.models.eomt.configuration_eomt import EomtConfig

from schemas.options import SegmenterOptions, TaskName
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import build_from
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.tasks import choose_task

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
    side = loaded.model.config.image_size
    # Class maps are learnt from square cut-outs, instances and segments from whole images.
    whole = entry.task != "semantic"
    usual = Preparation("fit", side, side if whole else None, pad_square=whole, split=not whole)
    preparation = read_preparation(loaded.preparation, usual)
    return build_from(loaded, loaded.model, preparation, task, options)
