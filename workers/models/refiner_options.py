"""Reads from settings which SAM refines masks."""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.grounded_options import find_mask_model, find_sam, is_sam
from workers.models.hub import check_weights
from workers.models.model_entry import ModelEntry

_MODEL = "segmenter.refiners.sam.model"


def choose_sam(options: SegmenterOptions) -> ModelEntry | None:
    """The SAM that refines masks; None: it is the segmenter itself, or none does.

    Raises UnknownModelError, and UsageError where there is no SAM of that name, or none for masks
    of this segmenter unless it is named.
    """
    if "sam" not in (options.refine or ()):
        return None
    segmenter, wanted = catalog.find(options.name, "segmenter"), options.refiners.sam
    found = _choose_usual(options) if wanted.model is None else find_sam(wanted.model, _MODEL)
    is_itself = found == segmenter and wanted.checkpoint in (None, options.checkpoint)
    return None if is_itself else found


def _choose_usual(options: SegmenterOptions) -> ModelEntry:
    segmenter = catalog.find(options.name, "segmenter")
    if is_sam(segmenter):
        return segmenter
    if segmenter.module == catalog.GROUNDED:
        return find_mask_model(options)
    if segmenter.source in ("bundled", "none"):
        return catalog.find("sam_demo")
    raise UsageError(
        f"setting {_MODEL}: expected a SAM to refine the masks of {options.name} with, such as "
        "sam2.1_t, got none"
    )


def check_sam(options: SegmenterOptions) -> None:
    """Raise what loading it would of its name or file, within milliseconds.

    Raises UnknownModelError, UsageError, and ModelError for local weights that are not there.
    """
    entry, checkpoint = choose_sam(options), options.refiners.sam.checkpoint
    if entry is not None and checkpoint is not None:
        check_weights(entry, checkpoint)


def list_fetched_sams(options: SegmenterOptions) -> list[ModelEntry]:
    """The SAM that refines masks, if its weights come from elsewhere and are not the user's own.

    Raises what `choose_sam` does.
    """
    entry = choose_sam(options)
    is_fetched = entry is not None and entry.source in ("official", "hub")
    return [entry] if entry and is_fetched and options.refiners.sam.checkpoint is None else []
