"""The protocol of runners: where the work is done, in this process or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pipeline.runners.model_worker import WorkerInfo
from pipeline.runners.recipe import Result
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
