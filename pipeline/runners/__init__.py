"""Where the work is done: in this process, or on Ray. Both write the same points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pipeline.process import Recipe, Result, WorkerInfo
from pipeline.settings import RunnerOptions
from schemas.images import ImageRef

Note = Callable[[str], None]
"""Tells the person who waits what is being waited for."""


class Runner(Protocol):
    """Takes chunks as fast as they are worked on. `info` is what its workers are."""

    info: WorkerInfo

    def run(self, chunks: Iterable[list[ImageRef]]) -> Iterator[list[Result]]:
        """The results of each chunk, in any order of chunks; one for each image.

        Raises the ObjseekError that stops all work, and whatever a bug in a worker raised.
        """
        ...


def open_runner(
    recipe: Recipe, options: RunnerOptions, log: Path, note: Note, early: Iterator[list[ImageRef]]
) -> AbstractContextManager[Runner]:
    """The runner `options.name` with its models loaded; what it has to say goes to `log`.

    early: chunks of what `run` will be given, of which the first may be read while models load.
    Raises UnknownModelError, UsageError, ModelError, WorkerDiedError on entering, and what `early`
    raises.
    """
    if options.name == "local":
        from pipeline.runners.local import LocalRunner

        return LocalRunner(recipe)
    from pipeline.runners.ray_pool import ray_runner

    return ray_runner(recipe, options, log, note, early)
