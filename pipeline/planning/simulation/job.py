"""Simulates a job: its driver lists, has read, has worked on, and writes, as an ingest does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.ingestion.listing import last_chunk_size
from pipeline.ingestion.resume import LIST_AHEAD
from pipeline.ingestion.writer import FEWEST_SECONDS, MOST_OBJECTS, MOST_SECONDS
from pipeline.planning.simulation.pool import Pool, PoolPace
from pipeline.planning.simulation.readers import Readers, ReadPace
from pipeline.planning.simulation.work import ImageWork
from pipeline.planning.simulation.world import World
from pipeline.runners.ray_pool.chunks import Chunk
from pipeline.runners.ray_pool.runner import READ_AHEAD
from pipeline.runners.ray_pool.time_limits import Pace

HISTORY_S = 60.0
"""How often what is done is noted."""


@dataclass(frozen=True, slots=True)
class JobPace:
    """How fast a job is at each stage, and how it cuts its chunks.

    `most_images` of a chunk, by its number and by its bytes; `write_s` of an image while nobody
    else writes; `points` of an image; `at_once`: images that an index wants together.
    """

    reading: ReadPace
    pool: PoolPace
    most_images: int
    stall_timeout_s: float
    write_s: float
    points: float
    at_once: int


class Job:
    """One driver with its readers and workers, and a range of images by number.

    `stop` ends all of it at once, as a machine that is lost does; `start` begins anew with what is
    not written, after `delay_s`.
    """

    def __init__(self, images: range, pace: JobPace, work: ImageWork, world: World) -> None:
        self._pace, self._work = pace, work
        self._clock, self._index, self._totals = world.clock, world.index, world.totals
        self._readers = Readers(pace.reading, world, self._later)
        self.pool = Pool(pace.pool, work, world, self._later)
        self.pool.finish, self.pool.retry, self.pool.give_up = self._finish, self._retry, self._drop
        self.pool.wake = lambda: self._do(lambda: None)
        self._life = 0
        self._todo: deque[range] = deque([images])
        self.written = 0
        self.ended_s: float | None = None

    def start(self, delay_s: float = 0.0) -> None:
        """Begin to load models and to read, so much later."""
        self._open: set[Chunk] = set()
        self._again: deque[Chunk] = deque()
        self._inbox: deque[Callable[[], None]] = deque()
        self._results: list[Chunk] = []
        self._reading, self._is_writing = 0, False
        self._limits = Pace(self._pace.stall_timeout_s)
        self._patience_s, self._written_s = 0.0, self._clock.now + delay_s
        self._readers.restart()
        self._later(delay_s, self._begin)

    def stop(self) -> None:
        """Lose what is not written."""
        self._life += 1
        self.pool.stop()
        self._totals.stops += 1
        self._totals.chunks_again += sum(1 for chunk in self._open if chunk.work)
        self._totals.images_again += sum(len(chunk.items) for chunk in self._open if chunk.work)
        lost = sorted((_numbers(chunk) for chunk in self._open), key=lambda each: each.start)
        self._todo.extendleft(reversed(lost))

    def _begin(self) -> None:
        self.pool.start()
        self._pump()

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        life = self._life
        self._clock.plan(delay_s, lambda: action() if life == self._life else None)

    def _do(self, action: Callable[[], None]) -> None:
        """Do it when the driver is free: while it writes it sees nothing."""
        if self._is_writing:
            self._inbox.append(action)
            return
        action()
        if not self._is_writing:
            self._pump()

    def _pump(self) -> None:
        while self._again:
            self._read(self._again.popleft())
        for chunk in self._cut():
            self._read(chunk)
        self.pool.dispatch()
        if not (self._inbox or self._reading or self.pool.is_busy or self._again):
            self._finish_all()

    def _cut(self) -> Iterator[Chunk]:
        most = self._pace.pool.workers + READ_AHEAD
        while self._todo and self._reading + len(self.pool.waiting) < most:
            images = self._todo[0]
            size, left = self._pace.most_images, sum(map(len, self._todo))
            if left <= LIST_AHEAD:
                size = last_chunk_size(left, size, self._pace.pool.workers)
            size = min(size, self._limits.most_images)
            first, rest = images[:size], images[size:]
            self._todo.popleft()
            if rest:
                self._todo.appendleft(rest)
            chunk = Chunk(first)  # type: ignore[arg-type]
            self._open.add(chunk)
            yield chunk

    def _read(self, chunk: Chunk) -> None:
        chunk.reads += 1
        self._reading += 1
        self._readers.read(len(chunk.items), lambda failed: self._do_read(chunk, failed))

    def _do_read(self, chunk: Chunk, failed: int) -> None:
        self._totals.failed += failed

        def take() -> None:
            self._reading -= 1
            self.pool.add(chunk)

        self._do(take)

    def _retry(self, chunks: list[Chunk]) -> None:
        whole = [chunk for chunk in self._open if _overlap(chunk, chunks)]
        self._open.difference_update(whole)
        self._open.update(chunks)
        self._again.extend(chunks)
        self._later(0.0, lambda: self._do(lambda: None))

    def _drop(self, chunk: Chunk) -> None:
        self._results.append(chunk)
        self._later(0.0, lambda: self._do(lambda: None))

    def _finish(self, chunk: Chunk, seconds: float) -> None:
        def take() -> None:
            self._limits.record(len(chunk.items), seconds)
            self.pool.clear(chunk)
            self._results.append(chunk)
            images = sum(len(each.items) for each in self._results)
            waited_s = self._clock.now - self._written_s
            is_full = images >= self._pace.at_once or images * self._pace.points >= MOST_OBJECTS
            if is_full or waited_s >= self._patience_s:
                self._write()
                self._patience_s = min(max(FEWEST_SECONDS, 2 * self._patience_s), MOST_SECONDS)

        self._do(take)

    def _write(self) -> None:
        results, self._results = self._results, []
        images = sum(len(chunk.items) for chunk in results)
        self._is_writing = True
        alone_s = images * self._pace.write_s
        wait_s = self._index.write_s(images * self._pace.points, alone_s)
        self._later(wait_s, lambda: self._end_write(results))

    def _end_write(self, results: list[Chunk]) -> None:
        for chunk in results:
            self._open.discard(chunk)
            self.written += len(chunk.items)
            self._totals.done += len(chunk.items)
            self._totals.rejected += self._work.rejected(_numbers(chunk))
        history = self._totals.history
        if not history or self._clock.now - history[-1][0] >= HISTORY_S:
            history.append((self._clock.now, self._totals.done))
        self._is_writing, self._written_s = False, self._clock.now
        self._pump()
        while self._inbox and not self._is_writing:
            self._do(self._inbox.popleft())

    def _finish_all(self) -> None:
        if self._results:
            self._write()
        elif not self._todo and self.ended_s is None:
            self.ended_s = self._clock.now


def _numbers(chunk: Chunk) -> range:
    images: range = chunk.items  # type: ignore[assignment]
    return images


def _overlap(chunk: Chunk, others: list[Chunk]) -> bool:
    return any(_numbers(other).start in _numbers(chunk) for other in others)
