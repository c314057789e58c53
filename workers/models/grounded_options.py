"""Reads from settings which texts are looked for, and which models find boxes and masks of them."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError
from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.detectors import DEFAULT_DETECTOR, NO_DETECTOR, is_folder
from workers.models.hub import cached_weights, check_folder
from workers.models.model_entry import ModelEntry

_SAM_MODULES = ("sam_demo", "sam", "sam2")


def read_texts(name: str) -> tuple[str, ...]:
    """The texts in a name like `grounded:a red mug,a plate`. Raises UsageError without any."""
    model, _, given = name.partition(":")
    texts = tuple(text.strip() for text in given.split(","))
    if not all(texts):
        raise UsageError(
            f"expected texts to look for, as in '{model}:a red mug,a plate', got {name!r}"
        )
    return texts


def name_detector(options: SegmenterOptions) -> str:
    """The name or folder of what finds boxes for `grounded`. Raises UsageError for none."""
    if options.detector == NO_DETECTOR:
        raise UsageError(
            f"setting segmenter.detector: expected a detector for {options.name!r}, got "
            f"{NO_DETECTOR}"
        )
    return options.detector or DEFAULT_DETECTOR


def find_mask_model(options: SegmenterOptions) -> ModelEntry:
    """The SAM that fills boxes for `grounded`. Raises UsageError for another model."""
    return find_sam(options.mask_model, "segmenter.mask_model")


def find_sam(name: str, setting: str) -> ModelEntry:
    """The SAM that a setting names. Raises UsageError for another model."""
    sams = [entry for entry in catalog.CATALOG if is_sam(entry)]
    found = next((entry for entry in sams if entry.name == name), None)
    if found is None:
        raise UsageError(
            f"setting {setting}: expected one of {', '.join(entry.name for entry in sams)}, "
            f"got {name}"
        )
    return found


def is_sam(entry: ModelEntry) -> bool:
    """Whether it is a SAM, which takes prompts."""
    return entry.module in _SAM_MODULES


def choose_detector(
    options: SegmenterOptions, cache_dir: Path | None = None
) -> SegmenterOptions | None:
    """`options` with the detector that looks for texts in single images; None: there is none.

    It is the one that they name, or else the usual one, if its weights are on this machine.
    """
    if options.detector is None:
        entry = catalog.find(DEFAULT_DETECTOR, "detector")
        is_there = cached_weights(entry, cache_dir) is not None
        return options.model_copy(update={"detector": DEFAULT_DETECTOR}) if is_there else None
    return None if options.detector == NO_DETECTOR else options


def check_user_weights(entry: ModelEntry, options: SegmenterOptions) -> None:
    """Raise UsageError where only the user can have weights, and has not named them."""
    if entry.source == "user" and options.checkpoint is None:
        raise UsageError(ask_for_weights(entry))


def ask_for_weights(entry: ModelEntry) -> str:
    """What to do about weights that are given to their user alone, as a sentence."""
    return (
        f"the weights of {entry.name} are given on request, under the {entry.licence}: get the "
        f"files of {entry.hub_repo} and name their folder as the setting segmenter.checkpoint"
    )


def check_detector(detector: str) -> None:
    """Raise what loading a detector would of its name or folder, within milliseconds.

    Raises UnknownModelError, and ModelError for local files that are not there.
    """
    if is_folder(detector):
        check_folder(Path(detector).expanduser(), has_tokenizer=True)
    else:
        catalog.find(detector, "detector")


def list_fetched(options: SegmenterOptions, *, for_texts: bool = False) -> list[ModelEntry]:
    """The models of a segmenter whose weights are not the user's own and come from elsewhere.

    With `for_texts` also of the detector that looks for texts in single images, if `options` name
    one. Raises UnknownModelError and UsageError.
    """
    entry = catalog.find(options.name, "segmenter")
    detector = (options.detector or NO_DETECTOR) if for_texts else NO_DETECTOR
    if entry.module == catalog.GROUNDED:
        entry, detector = find_mask_model(options), name_detector(options)
    needed = [entry] if options.checkpoint is None else []
    if detector != NO_DETECTOR and not is_folder(detector):
        needed.append(catalog.find(detector, "detector"))
    return [entry for entry in needed if entry.source in ("official", "hub")]
