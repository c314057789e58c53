"""Defines what runs in Ray's processes: the read task and the model actor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NoReturn

import numpy as np
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
) -> tuple[list[Readable], WorkReport]:
    """What of a chunk is read, and a report, which marks the end without the pixels.

    A read that exceeds the times of `limits` ends the process; more memory raises MemoryError.
    """
    _count_retries()
    stages = StageRecorder()
    with limit_process(limits), stages.of("read"):
        read = read_sources(sources, recipe)
    return read, WorkReport(stages.take(), _take_retries())


class ModelActor:
    """A ModelWorker in a process of its own.

    Its constructor does not raise: Ray would hand over only the text of the traceback.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._worker: ModelWorker | Exception
        try:
            self._worker = ModelWorker(recipe)
        except Exception as exc:
            self._worker = exc

    def info(self) -> WorkerInfo:
        """What the models are. Raises what kept them from being loaded."""
        return self._get_worker().info

    def process(
        self,
        chunk: Sequence[Readable],
        known: Sequence[KnownObjects],
        added: Sequence[tuple[AddedObject, ...]],
    ) -> tuple[list[Worked], WorkReport]:
        """See `ModelWorker.process`; and the report of it."""
        _count_retries()
        worker = self._get_worker()
        worked = worker.process([_copy_pixels(image) for image in chunk], known, added)
        return worked, WorkReport(worker.stages.take(), _take_retries(), read_gpu_memory())

    def _get_worker(self) -> ModelWorker:
        if isinstance(self._worker, Exception):
            raise self._worker
        return self._worker


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
