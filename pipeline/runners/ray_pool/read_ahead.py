"""Keeps chunks read before a worker is free for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from pipeline.runners.ray_pool.chunks import Chunk, cut_first_chunk
from pipeline.runners.ray_pool.tasks import raise_cause, read_chunk
from pipeline.runners.ray_pool.time_limits import Pace
from pipeline.runners.recipe import Recipe
from schemas.options import RunnerOptions
from schemas.work import WorkItem
from workers.images.read_limits import ReadLimits

# Of the stall timeout: a reader that hangs is found before the run is ended for it.
_READ_SHARE = 0.45


class ReadAhead:
    """Chunks on their way to a worker: listed, being read, or read.

    Those that are read stand in `waiting`, suspects in `suspects`. Reading one asks for
    `reader_cpus`.
    """

    def __init__(
        self, recipe: Recipe, options: RunnerOptions, pace: Pace, reader_cpus: float
    ) -> None:
        self._recipe = recipe
        self._pace = pace
        # By what they ask for alone all readers would go to one node.
        self._read: Any = ray.remote(
            num_cpus=reader_cpus, num_returns=2, max_retries=0, scheduling_strategy="SPREAD"
        )(read_chunk)
        self._limits = ReadLimits(
            memory_bytes=options.reader_memory_mb << 20,
            decode_s=options.decode_timeout_s,
            read_s=_READ_SHARE * options.stall_timeout_s,
        )
        self._listed: list[WorkItem] = []
        self._again: deque[Chunk] = deque()
        self._reading: set[Chunk] = set()
        self.waiting: deque[Chunk] = deque()
        self.suspects: deque[Chunk] = deque()

    @property
    def empty(self) -> bool:
        """Whether nothing is being read or waits for a worker."""
        return not (self._reading or self.waiting or self.suspects)

    @property
    def reading(self) -> int:
        """Chunks that are being read."""
        return len(self._reading)

    @property
    def first_uri(self) -> str:
        """An image that is being read."""
        return next(iter(self._reading)).items[0].ref.uri

    def read_again(self, chunks: Iterable[Chunk]) -> None:
        """Read these with the next `start`."""
        self._again.extend(chunks)

    def start(self, source: Iterator[list[WorkItem]], most: int) -> Iterator[tuple[Chunk, Any]]:
        """Start to read up to `most` chunks ahead: each with the reference of its end."""
        # What has been read before is not held back: it is part of what was in flight.
        while self._again:
            yield self._start_chunk(self._again.popleft())
        while len(self._reading) + len(self.waiting) < most:
            if not self._listed:
                self._listed = next(source, [])
            if not self._listed:
                return
            chunk = cut_first_chunk(self._listed, self._pace.most_images)
            self._listed = self._listed[len(chunk.items) :]
            yield self._start_chunk(chunk)

    def finish(self, chunk: Chunk, ended: Any) -> Exception | None:
        """Take a chunk whose reading has ended. What killed its reader, None if it is read.

        Raises what a bug in the reader raised.
        """
        self._reading.remove(chunk)
        try:
            chunk.read_on, chunk.report = ray.get(ended)
        except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as exc:
            return exc
        except RayTaskError as exc:
            if isinstance(exc.cause, MemoryError):
                return exc.cause
            raise_cause(exc)
        (self.suspects if chunk.suspect else self.waiting).append(chunk)
        return None

    def put_back(self, chunk: Chunk, lost_node: str) -> None:
        """Have a chunk be the next that no worker has any more, as its node is lost.

        What was read there is read again: an actor that asks for it would wait until Ray gives the
        node up.
        """
        (self.suspects if chunk.suspect else self.waiting).appendleft(chunk)
        for queue in (self.suspects, self.waiting):
            lost = [chunk for chunk in queue if chunk.read_on == lost_node]
            for chunk in lost:
                queue.remove(chunk)
            self.read_again(lost)

    def _start_chunk(self, chunk: Chunk) -> tuple[Chunk, Any]:
        chunk.reads += 1
        # The second return marks the end without fetching the pixels.
        chunk.data, ended = self._read.remote(chunk.sources, self._recipe, self._limits)
        self._reading.add(chunk)
        return chunk, ended
