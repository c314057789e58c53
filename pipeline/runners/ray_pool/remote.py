"""What runs in Ray's processes: the read task and the model actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from ray.exceptions import RayTaskError

from pipeline.runners.model_worker import ModelWorker, WorkerInfo
from pipeline.runners.recipe import Decoded, Recipe, Result
from schemas.errors import ObjseekError
from schemas.images import DecodedImage, ImageRef
from workers.images.read_limits import ReadLimits, confined


def read(refs: list[ImageRef], recipe: Recipe, limits: ReadLimits) -> tuple[list[Decoded], None]:
    """The images of a chunk, and a second value that tells of the end without their pixels.

    The process does not survive what takes longer than `limits` say; MemoryError for more memory.
    """
    with confined(limits):
        return recipe.reader(refs), None


class ModelActor:
    """A ModelWorker in a process of its own.

    Its constructor does not raise: Ray would hand over the text of the traceback only.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._worker: ModelWorker | Exception
        try:
            self._worker = ModelWorker(recipe)
        except Exception as exc:
            self._worker = exc

    def info(self) -> WorkerInfo:
        """What the models are. Raises what kept them from being loaded."""
        return self._usable().info

    def process(self, chunk: Sequence[Decoded]) -> list[Result]:
        """See `ModelWorker.process`."""
        return self._usable().process([_writeable(one) for one in chunk])

    def _usable(self) -> ModelWorker:
        if isinstance(self._worker, Exception):
            raise self._worker
        return self._worker


def _writeable(decoded: Decoded) -> Decoded:
    # Arrays in Ray's shared memory are read-only; a model sees the same as in the local runner.
    if isinstance(decoded, DecodedImage):
        return DecodedImage(decoded.ref, np.array(decoded.pixels))
    return decoded


def raise_cause(error: RayTaskError) -> NoReturn:
    """Raise what the worker raised: one sentence if it is ours, else with its traceback there."""
    if isinstance(error.cause, ObjseekError):
        raise error.cause from None
    raise error
