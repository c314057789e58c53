"""Runs everything in this process, a thread for each worker: the reference for other runners."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Self

from pipeline.observing.observer import RunObserver
from pipeline.observing.work_reports import WorkReport, read_gpu_memory
from pipeline.runners.model_worker import ModelWorker, set_threads
from pipeline.runners.read_sources import read_sources
from pipeline.runners.recipe import Recipe
from pipeline.throughput import Throughput, WorkedChunk
from schemas.work import Worked, WorkItem


class LocalRunner:
    """`workers` threads with models of their own, no other process: nearly as fast as processes.

    Models compute without Python's lock for seven eighths of the time. An image that kills the
    process ends the run.
    """

    def __init__(self, recipe: Recipe, workers: int = 1) -> None:
        self._recipe = recipe
        self._idle = SimpleQueue[ModelWorker]()
        self._warm = set[ModelWorker]()
        self._workers = [ModelWorker(recipe) for _ in range(workers)]
        for worker in self._workers:
            self._idle.put(worker)
        self.info = self._workers[0].info
        self.throughput = Throughput(workers)
        self.observer = RunObserver()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return

    def run(self, chunks: Iterable[list[WorkItem]]) -> Iterator[list[Worked]]:
        if len(self._workers) == 1:
            for items in chunks:
                if items:
                    self._note_working(1)
                    results = self._process(items)
                    self._note_working(0)
                    yield results
            return
        # A thread takes torch's number from whichever set it last, which may be one that decodes.
        pool = ThreadPoolExecutor(
            len(self._workers), "worker", initializer=set_threads, initargs=(self._recipe,)
        )
        try:
            yield from self._spread(pool, chunks)
        finally:
            pool.shutdown(cancel_futures=True)
        self._note_working(0)

    def _spread(
        self, pool: ThreadPoolExecutor, chunks: Iterable[list[WorkItem]]
    ) -> Iterator[list[Worked]]:
        running = set[Future[list[Worked]]]()
        for items in chunks:
            if items:
                running.add(pool.submit(self._process, items))
                self._note_working(len(running))
            # One more than there are workers: whoever is free need not wait for the next.
            if len(running) > len(self._workers) or not items:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _process(self, items: list[WorkItem]) -> list[Worked]:
        worker, started = self._idle.get(), time.monotonic()
        try:
            with worker.stages.of("read"):
                decoded = read_sources([item.source for item in items], self._recipe)
            results = worker.process(
                decoded, [item.known for item in items], [item.added for item in items]
            )
        finally:
            spans, gpu = worker.stages.take(), read_gpu_memory()
            self._idle.put(worker)
        # What this process tries again the driver counts itself: it is this process.
        report = WorkReport(spans, gpu=gpu)
        self.observer.note_worked([item.ref for item in items], report)
        seconds = time.monotonic() - started
        frames = sum(item.frames for item in items)
        self.throughput.record(WorkedChunk(frames, seconds, worker not in self._warm))
        self._warm.add(worker)
        return results

    def _note_working(self, chunks: int) -> None:
        workers = len(self._workers)
        waiting = max(0, chunks - workers)
        self.observer.note_queues(
            reading=0, waiting=waiting, working=chunks - waiting, workers=workers
        )
