"""Opens the runner that the settings name. Both write the same points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pipeline.runners.base import Note, Runner
from pipeline.runners.recipe import Recipe
from schemas.options import RunnerOptions
from schemas.work import WorkItem


@contextmanager
def open_runner(
    recipe: Recipe, options: RunnerOptions, log: Path, note: Note, early: Iterator[list[WorkItem]]
) -> Iterator[Runner]:
    """The runner `options.name` with its models loaded; its workers' output goes to `log`.

    `early`: chunks that `run` will go on with, of which the first may be read while models load.
    At the end its observer gets empty queues, however it ended. Raises UnknownModelError,
    UsageError, ModelError, WorkerDiedError on entering, and what `early` raises.
    """
    with _open(recipe, options, log, note, early) as runner:
        try:
            yield runner
        finally:
            runner.observer.note_queues(reading=0, waiting=0, working=0, workers=0)


def _open(
    recipe: Recipe, options: RunnerOptions, log: Path, note: Note, early: Iterator[list[WorkItem]]
) -> AbstractContextManager[Runner]:
    if options.name == "local":
        from pipeline.runners.local import LocalRunner

        note("loading the models")
        return LocalRunner(recipe, options.workers)
    from pipeline.runners.ray_pool.runner import open_ray_runner

    return open_ray_runner(recipe, options, log, note, early)
