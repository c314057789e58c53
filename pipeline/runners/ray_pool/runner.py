"""Ray: read tasks feed model actors. The driver holds references, never pixels.

Who is blamed when a process dies: a read task takes only its own chunk with it, which is halved
until the image that does it is alone. A model actor takes up to two chunks with it. Each becomes a
suspect, and is tried on a fresh actor with nothing beside it, and halved while it goes on killing.
An image is given up when it has killed twice while alone.

What takes too long is ended, and has died then as everything else does: a reader ends itself, see
`ReadLimits`, an actor is killed when it is at one chunk for longer than `Pace` allows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from pipeline.runners.base import Note
from pipeline.runners.model_worker import WorkerInfo
from pipeline.runners.ray_pool.actors import ActorPool
from pipeline.runners.ray_pool.chunks import Chunk, Slot, first_chunk, given_up
from pipeline.runners.ray_pool.remote import raise_cause, read
from pipeline.runners.ray_pool.session import ray_session
from pipeline.runners.ray_pool.time_limits import Pace
from pipeline.runners.recipe import Recipe, Result
from schemas.errors import StalledError, WorkerDiedError
from schemas.images import ImageRef, Stage
from schemas.options import RunnerOptions
from workers.images.read_limits import ReadLimits

IN_FLIGHT = 2
"""Chunks that a model actor holds: one worked on, one whose pixels already travel."""
_MOST_READS = 3
_MOST_GIVEN_UP = 10
"""So many images in a row, each alone on a fresh worker: it is not the images."""
_PATIENCE_S = 20.0
# Also while no image comes through: who takes too long is found so much later at most.
_CHECK_EVERY_S = 1.0
# Of the stall timeout: a reader that hangs is found before the run is ended for it.
_READ_SHARE = 0.45


@contextmanager
def ray_runner(
    recipe: Recipe, options: RunnerOptions, log: Path, note: Note, early: Iterator[list[ImageRef]]
) -> Iterator[RayRunner]:
    """A pool of model actors on Ray; see `open_runner`."""
    note("starting Ray" if options.ray_address is None else f"connecting to {options.ray_address}")
    with ray_session(options, log):
        runner = RayRunner(recipe, options, log)
        try:
            runner.start(early, note)
            yield runner
        finally:
            runner.close()


class RayRunner:
    """See the module. `info` is set by `start`."""

    info: WorkerInfo

    def __init__(self, recipe: Recipe, options: RunnerOptions, log: Path) -> None:
        self._recipe = recipe
        self._options = options
        self._log = log
        self._read: Any = ray.remote(num_cpus=1, num_returns=2, max_retries=0)(read)
        self._read_limits = ReadLimits(
            memory_bytes=options.reader_memory_mb << 20,
            decode_s=options.decode_timeout_s,
            read_s=_READ_SHARE * options.stall_timeout_s,
        )
        self._pace = Pace(options.stall_timeout_s)
        self._listed: list[ImageRef] = []
        self._pending: dict[Any, Callable[[Any], list[Result]]] = {}
        self._again: deque[Chunk] = deque()
        self._reading: set[Chunk] = set()
        self._waiting: deque[Chunk] = deque()
        self._suspects: deque[Chunk] = deque()
        self._suspected = 0  # suspects wherever they are: read, waiting or worked on
        self._actors = ActorPool(recipe, options, log, self._pending)
        self._given_up = 0
        self._moved_at = time.monotonic()

    def start(self, early: Iterator[list[ImageRef]], note: Note) -> None:
        """Return when the first actor has loaded its models. Raises what kept it from it."""
        note("loading the models")
        # One chunk only: actors that import and load have better use for the cores.
        self._read_ahead(early, most=1)
        self._actors.start()
        patience_s = min(_PATIENCE_S, self._options.stall_timeout_s)
        while (info := self._actors.greeting(patience_s)) is None:
            self._check_moves()
            note(f"still waiting for a worker with {self._actors.needs} to load the models")
        self.info = info

    def run(self, chunks: Iterable[list[ImageRef]]) -> Iterator[list[Result]]:
        source = iter(chunks)
        self._moved_at = time.monotonic()
        while True:
            self._read_ahead(source, self._options.workers + 1)
            self._dispatch()
            if not (self._reading or self._waiting or self._suspects or self._working()):
                return
            done, _ = ray.wait(list(self._pending), num_returns=1, timeout=_CHECK_EVERY_S)
            for ref in done:
                results = self._pending.pop(ref)(ref)
                if results:
                    yield results
                    self._moved_at = time.monotonic()
            self._kill_hung()
            self._check_moves()

    def close(self) -> None:
        """End the actors, whatever they are at."""
        self._actors.close()

    def _working(self) -> bool:
        return any(slot.chunks for slot in self._actors.slots)

    # Time

    def _kill_hung(self) -> None:
        for slot in self._actors.slots:
            if slot.hung_s is not None or not slot.chunks:
                continue
            limit = self._pace.limit_s(len(slot.chunks[0].refs))
            overdue = time.monotonic() - slot.since > limit
            # It may have ended while whoever takes the results had other things to do.
            if overdue and not ray.wait([slot.chunks[0].work], timeout=0)[0]:
                slot.hung_s = limit
                self._pace.took_too_long()
                ray.kill(slot.actor)

    def _check_moves(self) -> None:
        """Raise StalledError if no image came through, nor was listed, for too long."""
        patience = self._options.stall_timeout_s
        if time.monotonic() - self._moved_at <= patience:
            return
        at = [
            ref.uri
            for slot in self._actors.slots
            for chunk in slot.chunks[:1]
            for ref in chunk.refs
        ]
        if at:
            where = f"workers were at {', '.join(at[:3])}{' and others' if at[3:] else ''}"
        elif not any(slot.ready for slot in self._actors.slots):
            where = f"a worker with {self._actors.needs} was waited for"
        else:
            where = f"{next(iter(self._reading)).refs[0].uri} was being read"
        raise StalledError(
            f"expected an image to come through within {patience:g} s (stall_timeout_s), got none: "
            f"{where}, see {self._log}"
        )

    # Reading

    def _read_ahead(self, source: Iterator[list[ImageRef]], most: int) -> None:
        # What has been read before is not held back: it is part of what was in flight.
        while self._again:
            self._start_reading(self._again.popleft())
        while len(self._reading) + len(self._waiting) < most:
            if not self._listed:
                self._listed = next(source, [])
                self._moved_at = time.monotonic()
            if not self._listed:
                return
            chunk = first_chunk(self._listed, self._pace.most_images)
            self._listed = self._listed[len(chunk.refs) :]
            self._start_reading(chunk)

    def _start_reading(self, chunk: Chunk) -> None:
        chunk.reads += 1
        # The second return tells of the end without fetching the pixels.
        chunk.data, ended = self._read.remote(chunk.refs, self._recipe, self._read_limits)
        self._reading.add(chunk)
        self._pending[ended] = partial(self._was_read, chunk)

    def _was_read(self, chunk: Chunk, ended: Any) -> list[Result]:
        self._reading.remove(chunk)
        try:
            ray.get(ended)
        except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as exc:
            return self._died(chunk, Stage.READ, exc)
        except RayTaskError as exc:
            if isinstance(exc.cause, MemoryError):
                return self._died(chunk, Stage.READ, exc.cause)
            raise_cause(exc)
        (self._suspects if chunk.suspect else self._waiting).append(chunk)
        return []

    # Working

    def _dispatch(self) -> None:
        if not self._suspected:
            for slot in self._actors.slots:
                slot.reserved = False
        for depth in range(IN_FLIGHT):
            for slot in self._actors.slots:
                if slot.ready and len(slot.chunks) == depth:
                    self._give_next(slot)

    def _give_next(self, slot: Slot) -> None:
        if not slot.reserved:
            queue = self._waiting
        elif not slot.chunks:
            queue = self._suspects
        else:
            return
        if queue:
            chunk = queue.popleft()
            if not slot.chunks:
                slot.since = time.monotonic()
            slot.chunks.append(chunk)
            chunk.work = slot.actor.process.remote(chunk.data)
            self._pending[chunk.work] = partial(self._was_processed, slot, chunk)

    def _was_processed(self, slot: Slot, chunk: Chunk, ref: Any) -> list[Result]:
        slot.chunks.remove(chunk)
        began, slot.since = slot.since, time.monotonic()
        try:
            results: list[Result] = ray.get(ref)
        except (RayActorError, OutOfMemoryError) as exc:
            return self._actor_died(slot, chunk, exc)
        except ObjectLostError as exc:
            if chunk.reads == _MOST_READS:
                return self._died(chunk, Stage.READ, exc)
            self._again.append(chunk)
            return []
        except RayTaskError as exc:
            if isinstance(exc.cause, WorkerDiedError | MemoryError):
                return self._actor_died(slot, chunk, exc.cause)
            raise_cause(exc)
        self._pace.took(len(chunk.refs), slot.since - began)
        self._given_up = 0
        self._suspected -= chunk.suspect
        return results

    # Deaths

    def _narrowed_down(self) -> None:
        # Each death is a step, and there are only so many, unless nothing works at all.
        if self._pace.known:
            self._moved_at = time.monotonic()

    def _actor_died(self, slot: Slot, chunk: Chunk, error: Exception) -> list[Result]:
        slot.reserved = True
        self._actors.replace(slot)
        self._narrowed_down()
        if chunk.suspect:
            if slot.hung_s is not None:
                error = TimeoutError(f"ended after {slot.hung_s:g} s")
            return self._died(chunk, Stage.SEGMENT, error)
        # Another chunk was with the actor, so neither is to blame yet.
        chunk.suspect = True
        self._suspected += 1
        self._suspects.append(chunk)
        return []

    def _died(self, chunk: Chunk, stage: Stage, error: Exception) -> list[Result]:
        """What becomes of a chunk that killed a process while it was alone with it."""
        self._narrowed_down()
        if len(chunk.refs) > 1:
            self._again.extend(chunk.halves())
            self._suspected += chunk.suspect
            return []
        chunk.deaths += 1
        if chunk.deaths < 2:
            self._again.append(chunk)
            return []
        self._suspected -= chunk.suspect
        failure = given_up(chunk.refs[0], stage, error, self._options.reader_memory_mb)
        self._given_up += stage is Stage.SEGMENT
        if self._given_up == _MOST_GIVEN_UP:
            raise WorkerDiedError(
                f"{_MOST_GIVEN_UP} images in a row were too much for the models, each alone on a "
                f"fresh worker; of the last: {failure.message}; see {self._log}"
            )
        return [failure]
