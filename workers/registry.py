"""Builds segmenters and embedders by name; a module is imported only when it is chosen."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

from schemas.errors import UsageError
from schemas.options import DeviceName, EmbedderOptions, SegmenterOptions, VideoOptions
from workers.models import catalog, grounded_options, open_clip_names
from workers.models.hub import check_weights
from workers.models.model_entry import ModelEntry
from workers.models.propagator_options import choose_propagator
from workers.models.refiner_options import check_sam
from workers.models.threads import limit_threads
from workers.protocols import Embedder, ImageEmbedder, TextEmbedder
from workers.refiners.chain import build_refiners
from workers.segmenter_protocols import BoxMasker, PromptedSam, Segmenter, TextFinder
from workers.segmenters.refined_segmenter import refine_segmenter
from workers.segmenters.tuned_scorers import ScorerFile, read_scorer
from workers.videos.propagator import Propagator


def build_segmenter(
    options: SegmenterOptions, cache_dir: Path | None = None, scorer: ScorerFile | None = None
) -> Segmenter:
    """The segmenter `options.name`, ready for use.

    Weights that are not in `cache_dir` (default: the user's cache) are fetched. `scorer` is what
    `options.scorer` names, which is read here unless it is given. Raises
    UnknownModelError, UsageError for a device that is not there, ModelError, DownloadError.
    """
    entry = catalog.find(options.name, "segmenter")
    check_licence(entry, options)
    grounded_options.check_user_weights(entry, options)
    # segment-anything has only been run on the CPU and on CUDA: "mps" must be asked for by name.
    device = resolve_device(options.device, automatic=("cuda",))
    options = options.model_copy(update={"device": device})
    limit_threads()
    scorer = scorer or read_options_scorer(options, cache_dir)
    module = importlib.import_module(f"workers.segmenters.{entry.module}")
    # Only what is asked at points has a scorer, which was tuned to it by name.
    extra = {} if scorer is None else {"scorer": scorer}
    segmenter: Segmenter = module.build(options, cache_dir=cache_dir, entry=entry, **extra)
    find_sam = partial(_find_sam, options, segmenter, cache_dir)
    refiners = build_refiners(options.refine or (), options.refiners, find_sam)
    return refine_segmenter(segmenter, refiners)


def _find_sam(
    options: SegmenterOptions, segmenter: Segmenter, cache_dir: Path | None
) -> PromptedSam:
    from workers.segmenters.refining_sam import load_sam

    return load_sam(options, segmenter, cache_dir)


def check_licence(entry: ModelEntry, options: SegmenterOptions) -> None:
    """Raise UsageError where weights are not free for every use, and that is not accepted.

    Local weights are their user's own matter.
    """
    if entry.restriction and not options.accept_licence and options.checkpoint is None:
        raise UsageError(
            f"the weights of {entry.name} are {entry.restriction}: "
            "--accept-licence (setting segmenter.accept_licence) says that you accept it"
        )


def read_options_scorer(
    options: SegmenterOptions, cache_dir: Path | None = None
) -> ScorerFile | None:
    """What `options.scorer` names; None if it names none, or the whole grid is asked.

    Raises UsageError and ModelError: there is none, or it is one of another segmenter.
    """
    if options.scorer is None or options.prompts == "grid":
        return None
    scorer = read_scorer(options.scorer, cache_dir)
    scorer.check_segmenter(options.name)
    return scorer


def build_embedder(options: EmbedderOptions) -> Embedder:
    """The embedder `options.name`, ready for use.

    Raises UnknownModelError, UsageError for a device that is not there, ModelError, DownloadError.
    """
    module_name = _embedder_module(options.name)
    device = resolve_device(options.device)
    limit_threads()
    module = importlib.import_module(f"workers.embedders.{module_name}")
    embedder: Embedder = module.build(options.model_copy(update={"device": device}))
    return embedder


def check_segmenter(options: SegmenterOptions, cache_dir: Path | None = None) -> None:
    """Raise what building it would of a name or a file, within milliseconds.

    Raises UnknownModelError, UsageError for a licence that is not accepted, ModelError for local
    weights that are not there, and what `read_options_scorer` does.
    """
    entry = catalog.find(options.name, "segmenter")
    check_licence(entry, options)
    grounded_options.check_user_weights(entry, options)
    if entry.task == "texts":
        grounded_options.read_texts(options.name)
    if entry.module == catalog.GROUNDED:
        grounded_options.check_detector(grounded_options.name_detector(options))
        entry = grounded_options.find_mask_model(options)
    if options.checkpoint is not None:
        check_weights(entry, options.checkpoint)
    check_sam(options)
    read_options_scorer(options, cache_dir)


def build_text_finder(
    options: SegmenterOptions, masks: BoxMasker, cache_dir: Path | None = None
) -> TextFinder:
    """What looks for texts by the detector of `options`, with masks by a segmenter that is loaded.

    Raises UnknownModelError, UsageError for a device that is not there, ModelError, DownloadError.
    """
    from workers.segmenters.grounded import Grounding
    from workers.segmenters.text_detector import load_detector

    device = resolve_device(options.device, automatic=("cuda",))
    options = options.model_copy(update={"device": device})
    limit_threads()
    return Grounding(load_detector(options, cache_dir), masks, options)


def build_propagator(
    video: VideoOptions, options: SegmenterOptions, cache_dir: Path | None = None
) -> Propagator | None:
    """The video model that carries masks between frames, on the device of `options`; None: none.

    Raises UsageError, UnknownModelError, ModelError, DownloadError.
    """
    chosen = choose_propagator(video, options)
    if chosen is None:
        return None
    device = resolve_device(options.device, automatic=("cuda",))
    limit_threads()
    # Only here, as it loads the libraries of all video models.
    from workers.segmenters import sam2_propagator

    loading = options.model_copy(update={"checkpoint": chosen.checkpoint, "device": device})
    return sam2_propagator.build(loading, cache_dir, chosen.entry)


def check_embedder(options: EmbedderOptions) -> None:
    """As `check_segmenter`; a folder of a local model has to hold what is one."""
    if options.name.startswith(catalog.LOCAL_PREFIX):
        open_clip_names.check_folder(options.name)
    elif _embedder_module(options.name) == "openclip":
        open_clip_names.check_name(options.name)


def build_image_embedder(options: EmbedderOptions) -> ImageEmbedder:
    """What embeds images like `build_embedder(options)`, without the memory of a text tower.

    Raises what `build_embedder` does.
    """
    embedder = build_embedder(options)
    embedder.forget_texts()
    return embedder


def _embedder_module(name: str) -> str:
    """The file in `workers/embedders`: a bundled model's own, or that of all of open_clip's."""
    if "/" in name or name.startswith(catalog.LOCAL_PREFIX):
        return "openclip"
    return catalog.find(name, "embedder").name


def build_text_embedder(options: EmbedderOptions) -> TextEmbedder:
    """What embeds texts like `build_embedder(options)`, without torch where that is possible.

    Raises UnknownModelError, UsageError for a device that is not there, ModelError, DownloadError.
    """
    from workers.embedders import numpy_text_encoder

    return numpy_text_encoder.build(options) or build_embedder(options)


def resolve_device(
    device: DeviceName, automatic: tuple[DeviceName, ...] = ("cuda", "mps")
) -> DeviceName:
    """The device to use: for "auto" the first of `automatic` that is there, else the CPU.

    Raises UsageError when a device asked for by name is not there.
    """
    import torch

    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        return next((name for name in automatic if there[name]), "cpu")
    if not there[device]:
        raise UsageError(f"device {device!r} was asked for, but torch finds none on this machine")
    return device
