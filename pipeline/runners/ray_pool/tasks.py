"""Defines what runs in Ray's processes: the read task and the model actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from ray.exceptions import RayTaskError

from pipeline.runners.model_worker import ModelWorker, WorkerInfo
from pipeline.runners.recipe import Recipe
from schemas.added import AddedObject
from schemas.errors import ObjseekError
from schemas.images import Decoded, DecodedImage, ImageRef
from schemas.masks import KnownObjects
from schemas.records import Result
from workers.images.read_limits import ReadLimits, limit_process


def read_chunk(
    refs: list[ImageRef], recipe: Recipe, limits: ReadLimits
) -> tuple[list[Decoded], None]:
    """The images of a chunk, and a second value that marks the end without their pixels.

    A read that exceeds the times of `limits` ends the process; more memory raises MemoryError.
    """
    with limit_process(limits):
        return recipe.reader(refs), None


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
        chunk: Sequence[Decoded],
        known: Sequence[KnownObjects],
        added: Sequence[tuple[AddedObject, ...]],
    ) -> list[Result]:
        """See `ModelWorker.process`."""
        return self._get_worker().process([_copy_pixels(image) for image in chunk], known, added)

    def _get_worker(self) -> ModelWorker:
        if isinstance(self._worker, Exception):
            raise self._worker
        return self._worker


def _copy_pixels(image: Decoded) -> Decoded:
    # Arrays in Ray's shared memory are read-only; a model sees the same as in the local runner.
    if isinstance(image, DecodedImage):
        return DecodedImage(image.ref, np.array(image.pixels))
    return image


def raise_cause(error: RayTaskError) -> NoReturn:
    """Raise what the worker raised: one of our errors as it is, any other with its traceback."""
    if isinstance(error.cause, ObjseekError):
        raise error.cause from None
    raise error
