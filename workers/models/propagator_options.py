"""Reads from settings which video model carries masks from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from schemas.errors import ModelError, UsageError
from schemas.options import NO_PROPAGATION, SegmenterOptions, VideoOptions
from workers.models import catalog
from workers.models.grounded_options import find_mask_model
from workers.models.hub import check_weights, open_folder
from workers.models.model_entry import ModelEntry
from workers.models.weights import sha256_of

_SETTING = "video.propagate"
_USUAL = "sam2"
"""Whichever SAM 2.1 is at hand."""
_DEFAULT = "sam2.1_t"
_MODULE = "sam2"


@dataclass(frozen=True, slots=True)
class ChosenPropagator:
    """A video model; `checkpoint` are local files of it, None: they are fetched."""

    entry: ModelEntry
    checkpoint: str | None


def choose_propagator(video: VideoOptions, segmenter: SegmenterOptions) -> ChosenPropagator | None:
    """The video model that settings name, None: masks are not carried.

    A SAM 2.1 that makes the masks of `segmenter` is one with its weights. Raises UsageError for
    what names none, UnknownModelError for a segmenter that is unknown.
    """
    named = video.propagate
    if named == NO_PROPAGATION:
        return None
    if "/" in named:
        return ChosenPropagator(catalog.find(_DEFAULT), named)
    own = _find_own(segmenter)
    wanted = (own or catalog.find(_DEFAULT)).name if named == _USUAL else named
    known = {entry.name: entry for entry in catalog.CATALOG if entry.module == _MODULE}
    if wanted not in known:
        raise UsageError(
            f"setting {_SETTING}: expected {NO_PROPAGATION}, {_USUAL}, {', '.join(known)} or a "
            f"folder of local files, which has a slash, got {named}"
        )
    is_own = own is not None and own.name == wanted
    return ChosenPropagator(known[wanted], segmenter.checkpoint if is_own else None)


def _find_own(segmenter: SegmenterOptions) -> ModelEntry | None:
    """The SAM 2.1 whose weights the segmenter's `checkpoint` is, or would be."""
    entry = catalog.find(segmenter.name, "segmenter")
    if entry.module == catalog.GROUNDED:
        entry = find_mask_model(segmenter)
    return entry if entry.module == _MODULE else None


def check_propagator(video: VideoOptions, segmenter: SegmenterOptions) -> None:
    """Raise what loading it would of its name or files, within milliseconds.

    Raises UnknownModelError, UsageError, and ModelError for local weights that are not there.
    """
    chosen = choose_propagator(video, segmenter)
    if chosen is not None and chosen.checkpoint is not None:
        check_weights(chosen.entry, chosen.checkpoint)


def list_fetched_propagators(video: VideoOptions, segmenter: SegmenterOptions) -> list[ModelEntry]:
    """The video model, if its weights are not the user's own. Raises what choosing one does."""
    chosen = choose_propagator(video, segmenter)
    return [chosen.entry] if chosen is not None and chosen.checkpoint is None else []


def identify_propagator(video: VideoOptions, segmenter: SegmenterOptions) -> VideoOptions:
    """`video` with what its masks depend on in place of what names the video model.

    That is the model's name, and for local files the SHA-256 of their weights; where they are on
    other machines alone, their path. Raises what choosing one does.
    """
    chosen = choose_propagator(video, segmenter)
    if chosen is None:
        return video
    made_of = chosen.entry.name
    if chosen.checkpoint is not None:
        made_of = _identify_files(Path(chosen.checkpoint).expanduser())
    return video.model_copy(update={"propagate": made_of})


def _identify_files(path: Path) -> str:
    try:
        weights = open_folder(path).weights
        status = weights.stat()
    except (ModelError, OSError):
        return str(path)
    return f"sha256:{_hash_once(weights, status.st_size, status.st_mtime_ns)}"


@lru_cache(maxsize=4)
def _hash_once(weights: Path, size_bytes: int, time_ns: int) -> str:
    return sha256_of(weights)
