"""The interface of runners, which do the work in this process or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pipeline.runners.model_worker import WorkerInfo
from pipeline.throughput import Throughput
from schemas.masks import WorkItem
from schemas.records import Result

Note = Callable[[str], None]
"""Tells the user what is being waited for."""


class Runner(Protocol):
    """Takes chunks as fast as they are worked on.

    `info` describes its workers, `throughput` says how fast they are.
    """

    info: WorkerInfo
    throughput: Throughput

    def run(self, chunks: Iterable[list[WorkItem]]) -> Iterator[list[Result]]:
        """The results of each chunk, one for each image; chunks come in any order.

        Raises the ObjseekError that stops all work, and whatever a bug in a worker raised.
        """
        ...
