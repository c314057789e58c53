"""Runs the models: decoded images in, their objects with vectors out. It knows no runner."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline.observing.work_reports import StageRecorder
from pipeline.runners.recipe import Recipe
from schemas.added import AddedObject
from schemas.boxes import ImageBoxes
from schemas.errors import (
    DatasetError,
    ObjseekError,
    UsageError,
    VectorIndexError,
    WorkerDiedError,
    one_line,
)
from schemas.ids import fingerprint
from schemas.images import DecodedImage, Failure, ImageRef, Stage
from schemas.masks import KnownObjects, ObjectMask
from schemas.pipelines import Pipeline
from schemas.records import VECTOR_NAME, EmbeddedImage, Result, check_vectors
from schemas.redaction import redact
from schemas.videos import DecodedPiece
from schemas.work import Readable, Worked
from workers.batching import WithinMemory, free_memory
from workers.embedders.embed_objects import embed_added, embed_segmented, keep_objects
from workers.embedders.within_memory import EmbedderWithinMemory
from workers.freed_memory import return_freed_memory
from workers.images.thumbnails import add_thumbnails
from workers.labelling.labeller import label_image
from workers.models.gpu_memory import limit_gpu_memory
from workers.segmenter_protocols import BoxSegmenter
from workers.videos.build_video import keep_tracks

if TYPE_CHECKING:
    from pipeline.runners.piece_tracker import PieceTracker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker turned out to be once its models were loaded, and what to tell of them."""

    pipeline: Pipeline
    dim: int
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return self.pipeline.fingerprint


@dataclass(frozen=True, slots=True)
class _Work:
    image: DecodedImage
    known: KnownObjects
    added: tuple[AddedObject, ...]


_Steps = Callable[[Sequence[_Work]], list[EmbeddedImage]]


def set_threads(recipe: Recipe) -> None:
    """Have torch use as many threads as the recipe says, in this thread and in later ones."""
    if recipe.threads is not None:
        import torch

        torch.set_num_threads(recipe.threads)


class ModelWorker:
    """Segments and embeds chunks of images. Raises ModelError and UsageError when constructed.

    `stages` times what is done to them.
    """

    def __init__(self, recipe: Recipe) -> None:
        set_threads(recipe)
        limit_gpu_memory(recipe.gpus)
        self.stages = StageRecorder()
        self._recipe = recipe
        self._segmenter = recipe.segmenter()
        # Now, so that what is wrong with it ends the run, and not every video.
        self._propagator = recipe.propagator()
        self._embedder = EmbedderWithinMemory(recipe.embedder())
        self._labeller = recipe.labeller()
        self._matcher = recipe.matcher()
        pipeline = Pipeline.of(
            (self._segmenter.name, self._fingerprint_objects()),
            (self._embedder.name, self._embedder.fingerprint),
            recipe.decode,
            recipe.embedding,
        )
        if recipe.calibration is not None:
            recipe.calibration.check_embedding(pipeline.embedding)
        self.info = WorkerInfo(pipeline, self._embedder.dim, self._segmenter.notes)
        self._images = WithinMemory(self._run_steps, "images")

    @property
    def images_at_once(self) -> int | None:
        """How many images there is memory for at once, None: as many as have come so far."""
        return self._images.at_once

    def lower_images_at_once(self, most: int | None) -> None:
        """Take no more at once than another worker has found to fit."""
        self._images.lower(most)

    def _fingerprint_objects(self) -> str:
        """Of what decides which objects an image has."""
        own = self._segmenter.fingerprint
        if self._matcher is None:
            return own
        return fingerprint({"segmenter": own, "texts": self._matcher.fingerprint})

    def process(
        self,
        chunk: Sequence[Readable],
        known: Sequence[KnownObjects] | None = None,
        added: Sequence[tuple[AddedObject, ...]] | None = None,
    ) -> list[Worked]:
        """One result per image, in their order; failures of an earlier stage pass through.

        So it is with pieces of videos, which are tracked, and with videos that are to be labelled.

        `known`: of the objects of each image; None if that is nothing of any. `added`: what was
        added to each by hand; of other versions than the image has it is left out. A chunk that
        does not fit into memory is worked on by halves, and so are all that follow. If a step fails
        otherwise, each of its images is tried alone, and those that fail alone become failures.
        What it fails with must be one of `_INPUT_ERRORS`: anything else is a bug, and is raised.
        Raises WorkerDiedError if the device is beyond use.
        """
        known, added = known or [None] * len(chunk), added or [()] * len(chunk)
        work = [
            _Work(image, known_of_image, _choose_version(added_to_image, image))
            for image, known_of_image, added_to_image in zip(chunk, known, added, strict=True)
            if isinstance(image, DecodedImage)
        ]
        results = iter(_try_together_then_alone(self._images, self._run_steps, work))
        worked = [
            next(results) if isinstance(read, DecodedImage) else self._work_on_video(read)
            for read in chunk
        ]
        return_freed_memory()
        return worked

    def _work_on_video(self, read: DecodedPiece | EmbeddedImage | Failure) -> Worked:
        try:
            if isinstance(read, DecodedPiece):
                with _raise_step_errors(Stage.SEGMENT), self.stages.of("track"):
                    return self._tracker.track(read)
            if isinstance(read, EmbeddedImage):
                with _raise_step_errors(Stage.EMBED):
                    return self._name_video(read)
        except _StepError as exc:
            ref = read.piece.ref if isinstance(read, DecodedPiece) else read.ref
            return _fail(ref, exc)
        return read

    def _name_video(self, video: EmbeddedImage) -> EmbeddedImage:
        """The video with its labels, and with the objects alone that show one of the texts."""
        with self.stages.of("label"):
            (named,) = self._label([self._match(video)])
        with self.stages.of("check"):
            self._check([named])
        return named

    @cached_property
    def _tracker(self) -> PieceTracker:
        # Here, as it needs libraries that only whoever reads videos has.
        from pipeline.runners.piece_tracker import PieceTracker

        build = self._recipe.frame_segmenter
        segmenter = self._segmenter if build is None else build()
        recipe = self._recipe
        return PieceTracker(
            WithinMemory(segmenter.segment, "frames"),
            self._embedder,
            recipe.embedding,
            recipe.thumbnail_px,
            self._propagator,
        )

    def _run_steps(self, work: Sequence[_Work]) -> list[EmbeddedImage]:
        """The way of images through the worker. Raises _StepError."""
        stages = self.stages
        with _raise_step_errors(Stage.SEGMENT), stages.of("segment"):
            segmented = self._segment(work)
        with _raise_step_errors(Stage.EMBED):
            with stages.of("embed"):
                embedded = [self._match(image) for image in self._embed(work, segmented)]
                embedded = self._add_by_hand(work, embedded)
            with stages.of("label"):
                named = self._label(embedded)
            with stages.of("check"):
                self._check(named)
            with stages.of("thumbnail"):
                return self._add_thumbnails(work, named)

    def _segment(self, work: Sequence[_Work]) -> list[Sequence[ObjectMask]]:
        unknown = [item.image.pixels for item in work if item.known is None]
        found = iter(self._segmenter.segment(unknown) if unknown else ())
        found_in_boxes = iter(self._segment_with_boxes(work))
        return [
            next(found)
            if item.known is None
            else next(found_in_boxes)
            if isinstance(item.known, ImageBoxes)
            else _check_sizes(item.known, item.image)
            for item in work
        ]

    def _segment_with_boxes(self, work: Sequence[_Work]) -> list[list[ObjectMask]]:
        """Of the images that have boxes. Raises DatasetError where these do not fit one."""
        images, boxes = [], []
        for item in work:
            if isinstance(item.known, ImageBoxes):
                with _name_image(item.image.ref):
                    boxes.append(item.known.clip_to(item.image.size_hw))
                images.append(item.image.pixels)
        if not images:
            return []
        if not isinstance(self._segmenter, BoxSegmenter):
            raise UsageError(
                f"expected a segmenter that is asked with boxes, got {self._segmenter.name}"
            )
        return self._segmenter.segment_with_boxes(images, boxes)

    def _embed(
        self, work: Sequence[_Work], segmented: Sequence[Sequence[ObjectMask]]
    ) -> list[EmbeddedImage]:
        return embed_segmented(
            [item.image for item in work],
            segmented,
            self._embedder,
            self._recipe.embedding,
            self.info.fingerprint,
            self.info.pipeline.segmenter,
        )

    def _match(self, image: EmbeddedImage) -> EmbeddedImage:
        """The image with the objects alone that show one of the texts, if there are any."""
        if self._matcher is None or not image.objects:
            return image
        vectors = np.array([record.vectors[VECTOR_NAME] for record in image.objects], np.float32)
        masks = [record.mask for record in image.objects]
        named = self._matcher.name(masks, vectors)
        if not image.shots:
            return keep_objects(image, named)
        return keep_tracks(image, named)

    def _add_by_hand(
        self, work: Sequence[_Work], embedded: Sequence[EmbeddedImage]
    ) -> list[EmbeddedImage]:
        """The images with the objects that were added to them, which no text has to match."""
        return [
            embed_added(
                image,
                item.image.pixels,
                _check_added(item.added, item.image),
                self._embedder,
                self._recipe.embedding,
            )
            if item.added
            else image
            for item, image in zip(work, embedded, strict=True)
        ]

    def _label(self, embedded: Sequence[EmbeddedImage]) -> list[EmbeddedImage]:
        return [label_image(image, self._labeller) for image in embedded]

    def _add_thumbnails(
        self, work: Sequence[_Work], embedded: Sequence[EmbeddedImage]
    ) -> list[EmbeddedImage]:
        side_px = self._recipe.thumbnail_px
        if not side_px:
            return list(embedded)
        return [
            add_thumbnails(image, item.image.pixels, side_px)
            for item, image in zip(work, embedded, strict=True)
        ]

    def _check(self, embedded: Sequence[EmbeddedImage]) -> None:
        for image in embedded:
            check_vectors(image, self.info.dim)


# torch raises RuntimeError for what an image can cause: no memory, a size that a kernel refuses.
_INPUT_ERRORS = (ObjseekError, RuntimeError, MemoryError)
_NOT_THE_INPUT = (NotImplementedError, RecursionError, WorkerDiedError)


class _StepError(Exception):
    """A step failed with `cause`, which an image may be to blame for."""

    def __init__(self, stage: Stage, cause: Exception) -> None:
        super().__init__(str(cause))
        self.stage = stage
        self.cause = cause


@contextmanager
def _raise_step_errors(stage: Stage) -> Iterator[None]:
    try:
        yield
    except _INPUT_ERRORS as exc:
        _raise_if_fatal(exc)
        raise _StepError(stage, exc) from exc


def _try_together_then_alone(
    run_together: _Steps, run_steps: _Steps, work: Sequence[_Work]
) -> list[Result]:
    """All images together; if that fails, each alone, and a failure for each that fails so."""
    if not work:
        return []
    try:
        return list(run_together(work))
    except _StepError as exc:
        if len(work) > 1:
            _log.warning("chunk of %d images failed, trying each alone: %s", len(work), exc)
    # Only here, where the error no longer holds what the steps had in memory.
    free_memory()
    return [_try_alone(run_steps, item) for item in work]


def _try_alone(run_steps: _Steps, item: _Work) -> Result:
    try:
        (result,) = run_steps([item])
    except _StepError as exc:
        return _fail(item.image.ref, exc)
    return result


def _fail(ref: ImageRef, error: _StepError) -> Failure:
    _log.warning("%r failed in %s", ref.uri, error.stage, exc_info=error.cause)
    free_memory()
    return _build_failure(ref, error.stage, error.cause)


@contextmanager
def _name_image(ref: ImageRef) -> Iterator[None]:
    try:
        yield
    except DatasetError as exc:
        raise DatasetError(f"{exc} ({ref.uri})") from exc


def _choose_version(added: Sequence[AddedObject], image: DecodedImage) -> tuple[AddedObject, ...]:
    return tuple(each for each in added if each.version == image.ref.version)


def _check_sizes(masks: Sequence[ObjectMask], image: DecodedImage) -> Sequence[ObjectMask]:
    """These masks. Raises VectorIndexError for those of an image of another size."""
    for mask in masks:
        if mask.rle.size_hw != image.size_hw:
            raise VectorIndexError(
                f"expected masks of {image.size_hw} pixels, got one of {mask.rle.size_hw} "
                f"({image.ref.uri})"
            )
    return masks


def _check_added(added: Sequence[AddedObject], image: DecodedImage) -> Sequence[AddedObject]:
    """These objects. Raises VectorIndexError for those of an image that was read otherwise."""
    for each in added:
        if each.rle.size_hw != image.size_hw:
            raise VectorIndexError(
                f"expected objects of {image.size_hw} pixels, {each.object_id}, which was added by "
                f"hand, is of {each.rle.size_hw}: remove it, or decode as before ({image.ref.uri})"
            )
    return added


def _raise_if_fatal(error: BaseException) -> None:
    """Raise what no other image can help: a bug, or a device that no longer works."""
    if isinstance(error, _NOT_THE_INPUT):
        raise error
    torch = sys.modules.get("torch")
    broken = getattr(torch, "AcceleratorError", None)
    if broken is not None and isinstance(error, broken):
        raise WorkerDiedError(f"the device failed: {one_line(error)}") from error


def _build_failure(ref: ImageRef, stage: Stage, error: Exception) -> Failure:
    if isinstance(error, ObjseekError):
        return Failure.from_error(ref, stage, error)
    message = redact(f"{one_line(error)} ({ref.uri})")
    return Failure(ref, stage, type(error).__name__, message, retryable=True)
