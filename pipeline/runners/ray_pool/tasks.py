"""Defines what runs in Ray's processes: the read task and the model actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from ray.exceptions import RayTaskError

from pipeline.runners.model_worker import ModelWorker, WorkerInfo
from pipeline.runners.read_sources import read_sources
from pipeline.runners.recipe import Recipe
from schemas.added import AddedObject
from schemas.errors import ObjseekError
from schemas.images import DecodedImage
from schemas.masks import KnownObjects
from schemas.videos import DecodedPiece
from schemas.work import Readable, Source, Worked
from workers.images.read_limits import ReadLimits, limit_process


def read_chunk(
    sources: list[Source], recipe: Recipe, limits: ReadLimits
) -> tuple[list[Readable], None]:
    """What of a chunk is read, and a second value that marks the end without the pixels.

    A read that exceeds the times of `limits` ends the process; more memory raises MemoryError.
    """
    with limit_process(limits):
        return read_sources(sources, recipe), None


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
    ) -> list[Worked]:
        """See `ModelWorker.process`."""
        return self._get_worker().process([_copy_pixels(image) for image in chunk], known, added)

    def _get_worker(self) -> ModelWorker:
        if isinstance(self._worker, Exception):
            raise self._worker
        return self._worker


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
