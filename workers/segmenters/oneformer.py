"""`oneformer_*`: OneFormer, one set of weights that is told its task in words (MIT)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from transformers.models.oneformer import modeling_oneformer
from transformers.models.oneformer.configuration_oneformer import OneFormerConfig

from schemas.options import SegmenterOptions, TaskName
from workers.models import catalog
from workers.models.model_entry import ModelEntry
from workers.segmenters.hub_loading import load_model
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.mask_classifier import build_from
from workers.segmenters.preparation import Preparation, read_preparation
from workers.segmenters.tasks import choose_task

# "the task is ..." in the tokens of CLIP, with those of begin and end.
_BEGIN, _END = (49406, 518, 10549, 533), (49407,)
TASK_TOKENS: dict[TaskName, tuple[int, ...]] = {
    "panoptic": (*_BEGIN, 1072, 24755, *_END),
    "semantic": (*_BEGIN, 29119, 1550, *_END),
    "instance": (*_BEGIN, 34572, *_END),
}
_USUAL = Preparation("fit", 800, 1333, divisor=32)


def build(
    options: SegmenterOptions, cache_dir: Path | None = None, entry: ModelEntry | None = None
) -> LabelledSegmenter:
    """The OneFormer `options.name` on `options.device`.

    Raises UsageError, ModelError, DownloadError.
    """
    entry = entry or catalog.find(options.name, "segmenter")
    task = choose_task(options, entry.task, tuple(TASK_TOKENS))
    loaded = load_model(
        options,
        cache_dir,
        entry,
        modeling_oneformer,
        "OneFormerForUniversalSegmentation",
        OneFormerConfig,
    )
    tokens = torch.zeros((1, loaded.model.config.task_seq_len), dtype=torch.int64)
    tokens[0, : len(TASK_TOKENS[task])] = torch.tensor(TASK_TOKENS[task])
    network = partial(loaded.model, task_inputs=tokens.to(options.device))
    preparation = read_preparation(loaded.preparation, _USUAL)
    return build_from(loaded, network, preparation, task, options)
