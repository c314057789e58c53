"""Chooses what a segmenter that knows classes looks for, and how sure it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from schemas.errors import UsageError
from schemas.options import SegmenterOptions, TaskName

SCORES = {"instance": 0.5, "panoptic": 0.8, "text": 0.3}
"""Where `score_thresh` is None; that of panoptic is Mask2Former's OBJECT_MASK_THRESHOLD, that of
texts the pred_score_thr of mmdetection's demo, and SAM 3's own."""


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


def choose_score(options: SegmenterOptions, task: Literal["instance", "panoptic", "text"]) -> float:
    """What is less likely is no object: `options.score_thresh`, or else the task's."""
    return SCORES[task] if options.score_thresh is None else options.score_thresh
