"""The interface of runners, which do the work in this process or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pipeline.observing.observer import RunObserver
from pipeline.runners.model_worker import WorkerInfo
from pipeline.throughput import Throughput
from schemas.work import Worked, WorkItem

Note = Callable[[str], None]
"""Tells the user what is being waited for."""


class Runner(Protocol):
    """Takes chunks as fast as they are worked on.

    `info` describes its workers, `throughput` says how fast they are. `observer` is told what they
    do; whoever has them run may set another one before.
    """

    info: WorkerInfo
    throughput: Throughput
    observer: RunObserver

    def run(self, chunks: Iterable[list[WorkItem]]) -> Iterator[list[Worked]]:
        """The results of each chunk, one for each item; chunks come in any order.

        An empty chunk says that what comes next depends on results that are still to come.
        Raises the ObjseekError that stops all work, and whatever a bug in a worker raised.
        """
        ...
