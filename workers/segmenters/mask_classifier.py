"""Builds segmenters of mask classification: instances, segments or class maps of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from schemas.errors import UsageError
from schemas.options import SegmenterOptions, TaskName
from workers.segmenters.frame_finder import FrameFinder, Head
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.heads.mask_classification import (
    InstanceHead,
    MaskSemanticHead,
    PanopticHead,
    Queries,
)
from workers.segmenters.hub_loading import LoadedModel
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.placement import Placement
from workers.segmenters.preparation import Preparation
from workers.segmenters.tasks import choose_score


def build_from(
    loaded: LoadedModel,
    network: Callable[..., Any],
    preparation: Preparation,
    task: TaskName,
    options: SegmenterOptions,
) -> LabelledSegmenter:
    """A segmenter of any of transformers' models of this kind, for one task.

    `network` is the model with what it takes beside `pixel_values`. Raises UsageError for a task
    it cannot do.
    """
    if preparation.split and task != "semantic":
        raise UsageError(
            f"setting segmenter.task: expected semantic for {options.name}, which sees an image in "
            f"parts, got {task}"
        )

    def see(frame: Tensor, place: Placement) -> Queries:
        outputs = network(pixel_values=frame)
        masks = PlacedLogits(outputs.masks_queries_logits[0], place)
        return Queries(outputs.class_queries_logits[0], masks)

    head = choose_head(loaded.classes, task, options)
    finder = FrameFinder(see, head, preparation, options)
    return LabelledSegmenter(finder, options, loaded.weights_sha256, loaded.classes.stuff_labels)


def choose_head(classes: Classes, task: TaskName, options: SegmenterOptions) -> Head[Queries]:
    """What reads the outputs for a task. Raises UsageError where it needs to know the stuff."""
    if task == "semantic":
        return MaskSemanticHead(SemanticHead.choose(classes, options))
    if classes.stuff is None:
        raise UsageError(
            f"setting segmenter.task: which classes of {options.name} are things is not known, "
            f"expected semantic, got {task}"
        )
    score, least = choose_score(options, task), options.mask_thresh
    if task == "instance":
        return InstanceHead(classes, score, least)
    return PanopticHead(classes, score, least, options.overlap_mask_area_threshold)
