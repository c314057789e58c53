"""`mask2former_*`: Mask2Former with a Swin backbone (weights: CC-BY-NC-4.0)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from transformers.models.mask2former import modeling_mask2former
from transformers.models.mask2former.configuration_mask2former import Mask2FormerConfig

from schemas.options import SegmenterOptions, TaskName
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import build_from
from workers.segmenters.preparation import Preparation, read_training_size
from workers.segmenters.tasks import choose_task

_TASKS: tuple[TaskName, ...] = ("panoptic", "semantic", "instance")
# As in training: Detectron2's ResizeShortestEdge, and sides that all strides divide.
_USUAL = Preparation("fit", 800, 1333, divisor=32)


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The Mask2Former `options.name` on `options.device`.

    Raises UsageError, ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    task = choose_task(options, entry.task, _TASKS)
    loaded = load_model(
        options,
        cache_dir,
        entry,
        modeling_mask2former,
        "Mask2FormerForUniversalSegmentation",
        Mask2FormerConfig,
    )
    network = partial(loaded.model, output_auxiliary_logits=False)
    preparation = read_training_size(loaded.preparation, _USUAL)
    return build_from(loaded, network, preparation, task, options)
