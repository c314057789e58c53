"""Loads the SAM that refines masks, unless it is the one that has found them."""

from __future__ import annotations

import importlib
from pathlib import Path

from schemas.options import SegmenterOptions
from workers.models.refiner_options import choose_sam
from workers.segmenter_protocols import PromptedSam, Segmenter
from workers.segmenters.grid_segmenter import GridSegmenter
from workers.segmenters.prompt_session import PromptableGridSegmenter


def load_sam(
    options: SegmenterOptions, segmenter: Segmenter, cache_dir: Path | None = None
) -> PromptedSam:
    """The SAM that `options` name, on their device. Raises UsageError, ModelError, DownloadError.

    `segmenter` is theirs, before it is refined.
    """
    entry = choose_sam(options)
    if entry is not None:
        module = importlib.import_module(f"workers.segmenters.{entry.module}")
        changes = {
            "name": entry.name,
            "checkpoint": options.refiners.sam.checkpoint,
            "scorer": None,
            "refine": (),
        }
        segmenter = module.build(
            options.model_copy(update=changes), cache_dir=cache_dir, entry=entry
        )
    assert isinstance(segmenter, GridSegmenter)
    return PromptedSam(segmenter, describe_sam(segmenter))


def describe_sam(sam: GridSegmenter) -> dict[str, object]:
    """What the answers of a SAM to prompts depend on, for a fingerprint."""
    made_of: dict[str, object] = {
        "boxes": 1,
        "segmenter": sam.name,
        "weights_sha256": sam.weights_sha256,
    }
    if isinstance(sam, PromptableGridSegmenter):
        made_of["prompts_sha256"] = sam.prompts_sha256
        made_of["refine"] = [refiner.fingerprint for refiner in sam.refiners]
    return made_of
