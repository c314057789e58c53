"""The model worker: decoded images in, their objects with vectors out. It knows no runner."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.runners.recipe import Decoded, GivenMasks, Recipe, Result
from schemas.errors import ObjseekError, WorkerDiedError, one_line
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.masks import ObjectMask, SegmentedImage
from schemas.pipelines import Pipeline
from schemas.records import EmbeddedImage, check_vectors
from schemas.redaction import redact
from workers.embedders.embed_objects import embed_segmented
from workers.labelling.labeller import label_image

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker turned out to be once its models were loaded."""

    pipeline: Pipeline
    dim: int

    @property
    def fingerprint(self) -> str:
        return self.pipeline.fingerprint


class ModelWorker:
    """Segments and embeds chunks of images. Raises ModelError and UsageError when constructed."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.threads is not None:
            import torch

            torch.set_num_threads(recipe.threads)
        self._recipe = recipe
        self._segmenter = recipe.segmenter()
        self._embedder = recipe.embedder()
        self._labeller = recipe.labeller()
        pipeline = Pipeline.of(
            (self._segmenter.name, self._segmenter.fingerprint),
            (self._embedder.name, self._embedder.fingerprint),
            recipe.decode,
            recipe.embedding,
        )
        self.info = WorkerInfo(pipeline, self._embedder.dim)

    def process(self, chunk: Sequence[Decoded]) -> list[Result]:
        """One result per image, in their order; failures of an earlier stage pass through.

        If the models fail on the chunk, each of its images is tried alone, and those that fail
        alone become failures. What they fail with must be one of `_INPUT_ERRORS`: anything else
        is a bug, and is raised. Raises WorkerDiedError if the device is beyond use.
        """
        images = [one for one in chunk if isinstance(one, DecodedImage)]
        results = iter(self._results(images))
        _return_freed_memory()
        return [one if isinstance(one, Failure) else next(results) for one in chunk]

    def _results(self, images: list[DecodedImage]) -> list[Result]:
        if not images:
            return []
        try:
            return [self._checked(image) for image in self._embed(images, self._segment(images))]
        except _INPUT_ERRORS as exc:
            _raise_if_fatal(exc)
            if len(images) > 1:
                _log.warning("chunk of %d images failed, trying each alone: %s", len(images), exc)
                _free_memory()
                return [self._alone(image) for image in images]
        return [self._alone(images[0])]

    def _alone(self, image: DecodedImage) -> Result:
        stage = Stage.SEGMENT
        try:
            masks = self._segment([image])
            stage = Stage.EMBED
            return self._checked(self._embed([image], masks)[0])
        except _INPUT_ERRORS as exc:
            _raise_if_fatal(exc)
            _log.warning("%r failed in %s", image.ref.uri, stage, exc_info=exc)
            _free_memory()
            return _failure(image.ref, stage, exc)

    def _segment(self, images: Sequence[DecodedImage]) -> list[list[ObjectMask]]:
        if isinstance(self._segmenter, GivenMasks):
            return [self._segmenter.masks_of(image) for image in images]
        return self._segmenter.segment([image.pixels for image in images])

    def _embed(
        self, images: Sequence[DecodedImage], masks: Sequence[Sequence[ObjectMask]]
    ) -> list[EmbeddedImage]:
        recipe, info = self._recipe, self.info
        images = [_without_masks(image) for image in images]
        embedded = embed_segmented(
            images,
            masks,
            self._embedder,
            recipe.embedding,
            info.fingerprint,
            info.pipeline.segmenter,
        )
        return [label_image(image, self._labeller) for image in embedded]

    def _checked(self, image: EmbeddedImage) -> EmbeddedImage:
        check_vectors(image, self.info.dim)
        return image


# torch raises RuntimeError for what an image can cause: no memory, a size that a kernel refuses.
_INPUT_ERRORS = (ObjseekError, RuntimeError, MemoryError)
_NOT_THE_INPUT = (NotImplementedError, RecursionError, WorkerDiedError)


def _without_masks(image: DecodedImage) -> DecodedImage:
    """They are in the objects, and need not travel twice."""
    ref = image.ref
    return DecodedImage(ref.listed, image.pixels) if isinstance(ref, SegmentedImage) else image


def _raise_if_fatal(error: BaseException) -> None:
    """Raise what no other image can help: a bug, or a device that will not work any more."""
    if isinstance(error, _NOT_THE_INPUT):
        raise error
    torch = sys.modules.get("torch")
    broken = getattr(torch, "AcceleratorError", None)
    if broken is not None and isinstance(error, broken):
        raise WorkerDiedError(f"the device failed: {one_line(error)}") from error


def _return_freed_memory() -> None:
    """Give what is free back to the system, where the C library is glibc.

    Left to itself it keeps the space of whatever was largest at some time, in pieces that fit
    nothing: a worker held a third more after 1,000 images than after 100.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _free_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _failure(ref: ImageRef, stage: Stage, error: Exception) -> Failure:
    if isinstance(error, ObjseekError):
        return Failure.from_error(ref, stage, error)
    message = redact(f"{one_line(error)} ({ref.uri})")
    return Failure(ref, stage, type(error).__name__, message, retryable=True)
