"""Defines what runs in Ray's processes: the read task and the model actor."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NoReturn

import numpy as np
import ray
from ray.exceptions import RayTaskError

from pipeline.observing.work_reports import StageRecorder, WorkReport, read_gpu_memory
from pipeline.runners.model_worker import ModelWorker, WorkerInfo
from pipeline.runners.read_sources import read_sources
from pipeline.runners.recipe import Recipe
from schemas.added import AddedObject
from schemas.errors import ObjseekError
from schemas.images import DecodedImage
from schemas.masks import KnownObjects
from schemas.videos import DecodedPiece
from schemas.work import Readable, Source, Worked
from workers.backoff import listen_to_retries
from workers.images.read_limits import ReadLimits, limit_process

_retries: Counter[str] = Counter()


def read_chunk(
    sources: list[Source], recipe: Recipe, limits: ReadLimits
) -> tuple[list[Readable], tuple[str, WorkReport]]:
    """What of a chunk is read; and on which node with a report, which mark the end without pixels.

    A read that exceeds the times of `limits` ends the process; more memory raises MemoryError.
    """
    _count_retries()
    stages = StageRecorder()
    with limit_process(limits), stages.of("read"):
        read = read_sources(sources, recipe)
    node = ray.get_runtime_context().get_node_id()
    return read, (node, WorkReport(stages.take(), _take_retries()))


@dataclass(frozen=True, slots=True)
class WorkedTogether:
    """The results of a chunk, with the report of the work.

    `images_at_once` fit into memory, None: as many as have come.
    """

    results: list[Worked]
    images_at_once: int | None
    report: WorkReport


class ModelActor:
    """A ModelWorker in a process of its own.

    Its constructor does nothing: Ray would hand over only the text of a traceback, and a process
    that has a place is to be told from one that waits for a node.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._ended: float | None = None

    def tell_node(self) -> str:
        """The id of its node, once there is a process: before its models are loaded."""
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def info(self) -> WorkerInfo:
        """What the models are, which this loads. Raises what keeps them from being loaded."""
        return self._worker.info

    def process(
        self,
        chunk: Sequence[Readable],
        known: Sequence[KnownObjects],
        added: Sequence[tuple[AddedObject, ...]],
        images_at_once: int | None,
    ) -> WorkedTogether:
        """See `ModelWorker.process`. `images_at_once`: as many as fitted elsewhere."""
        _count_retries()
        worker = self._worker
        worker.lower_images_at_once(images_at_once)
        copied = [_copy_pixels(image) for image in chunk]
        waited_s = 0.0 if self._ended is None else time.monotonic() - self._ended
        results = worker.process(copied, known, added)
        self._ended = time.monotonic()
        report = WorkReport(worker.stages.take(), _take_retries(), read_gpu_memory(), waited_s)
        return WorkedTogether(results, worker.images_at_once, report)

    @cached_property
    def _worker(self) -> ModelWorker:
        return ModelWorker(self._recipe)


@cache
def _count_retries() -> None:
    """Count from now on what this process tries again."""
    listen_to_retries(lambda what: _retries.update([what]))


def _take_retries() -> dict[str, int]:
    """What was tried again since the last time. A process of Ray is at one chunk at a time."""
    taken = dict(_retries)
    _retries.subtract(taken)
    return {what: number for what, number in taken.items() if number}


def _copy_pixels(read: Readable) -> Readable:
    # Arrays in Ray's shared memory are read-only; a model sees the same as in the local runner.
    if isinstance(read, DecodedImage):
        return DecodedImage(read.ref, np.array(read.pixels))
    if isinstance(read, DecodedPiece):
        frames = (replace(frame, pixels=np.array(frame.pixels)) for frame in read.frames)
        return replace(read, frames=tuple(frames))
    return read


def raise_cause(error: RayTaskError) -> NoReturn:
    """Raise what the worker raised: one of our errors as it is, any other with its traceback."""
    if isinstance(error.cause, ObjseekError):
        raise error.cause from None
    raise error
