"""Finds objects with any network of mask classification: instances, segments or class maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from schemas.errors import UsageError
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import SegmenterOptions, TaskName
from workers.segmenters.compute import computing
from workers.segmenters.heads.class_map import SemanticHead
from workers.segmenters.heads.classes import Classes
from workers.segmenters.heads.enlarge import PlacedLogits
from workers.segmenters.heads.mask_classification import (
    InstanceHead,
    MaskSemanticHead,
    PanopticHead,
    Queries,
)
from workers.segmenters.labelled_segmenter import LabelledSegmenter
from workers.segmenters.preparation import Preparation

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Frames float32 (n, 3, height, width), normalised, to class logits (n, queries, classes + 1), the
last of no class, and mask logits (n, queries, h, w)."""

INSTANCE_SCORE = 0.5
PANOPTIC_SCORE = 0.8  # Mask2Former's OBJECT_MASK_THRESHOLD


class MaskHead(Protocol):
    """Makes objects of what a network says of all frames of an image."""

    def find(self, frames: Sequence[Queries]) -> list[ObjectMask]: ...

    def describe(self) -> dict[str, object]: ...


class MaskClassifier:
    """A network with its classes, for one task."""

    def __init__(
        self,
        network: Network,
        classes: Classes,
        preparation: Preparation,
        task: TaskName,
        options: SegmenterOptions,
    ) -> None:
        self._network, self._preparation, self._options = network, preparation, options
        self._head = choose_head(classes, task, options)
        self._task = task

    def find(self, image: UInt8Image) -> list[ObjectMask]:
        """See `Finder`."""
        places = self._preparation.place((image.shape[0], image.shape[1]))
        device = torch.device(self._options.device)
        with computing(self._options):
            frames = self._preparation.make_frames(image, places, device)
            outputs = [self._network(frame[None]) for frame in frames]
        with torch.inference_mode():
            return self._head.find(
                [
                    Queries(class_logits[0], PlacedLogits(masks[0], place))
                    for (class_logits, masks), place in zip(outputs, places, strict=True)
                ]
            )

    def describe(self) -> dict[str, object]:
        """See `Finder`."""
        return {
            "task": self._task,
            "preparation": self._preparation.describe(),
            "head": self._head.describe(),
        }


def build_from(
    network: Network,
    classes: Classes,
    preparation: Preparation,
    task: TaskName,
    options: SegmenterOptions,
    weights_sha256: str,
) -> LabelledSegmenter:
    """A segmenter of any network of this kind. Raises UsageError for a task it cannot do."""
    finder = MaskClassifier(network, classes, preparation, task, options)
    return LabelledSegmenter(finder, options, weights_sha256)


def choose_head(classes: Classes, task: TaskName, options: SegmenterOptions) -> MaskHead:
    """What reads the outputs for a task. Raises UsageError where it needs to know the stuff."""
    if task == "semantic":
        return MaskSemanticHead(SemanticHead.choose(classes, options))
    if classes.stuff is None:
        raise UsageError(
            f"setting segmenter.task: which classes of {options.name} are things is not known, "
            f"expected semantic, got {task}"
        )
    score, least = options.score_thresh, options.mask_thresh
    if task == "instance":
        return InstanceHead(classes, INSTANCE_SCORE if score is None else score, least)
    return PanopticHead(
        classes,
        PANOPTIC_SCORE if score is None else score,
        least,
        options.overlap_mask_area_threshold,
    )


def choose_task(options: SegmenterOptions, default: str, known: Sequence[TaskName]) -> TaskName:
    """What is looked for: `options.task`, or else what the model is for.

    Raises UsageError for what none of this kind does.
    """
    wanted = options.task or default
    task = next((task for task in known if task == wanted), None)
    if task is None:
        raise UsageError(
            f"setting segmenter.task: expected {' or '.join(known)} for {options.name}, "
            f"got {wanted}"
        )
    return task
