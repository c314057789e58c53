"""Spreads the work over Ray: read tasks feed model actors. The driver never holds pixels.

`ReadAhead` has chunks read, `ActorPool` keeps the actors, `Blame` decides what becomes of a chunk
that kills a process. What takes too long is ended, and has died then as everything else does: a
reader ends itself, see `ReadLimits`, an actor is killed when it is at one chunk for longer than
`Pace` allows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayTaskError

from pipeline.messages import quantify
from pipeline.observing.observer import RunObserver
from pipeline.runners.base import Note
from pipeline.runners.model_worker import WorkerInfo
from pipeline.runners.ray_pool.actors import ActorPool, Slot
from pipeline.runners.ray_pool.blame import Blame
from pipeline.runners.ray_pool.chunks import Chunk
from pipeline.runners.ray_pool.nodes import (
    MOST_LOSSES,
    NOTE_EVERY_S,
    NodeWait,
    is_node_alive,
    is_node_lost,
)
from pipeline.runners.ray_pool.pending_calls import PendingCalls
from pipeline.runners.ray_pool.read_ahead import ReadAhead
from pipeline.runners.ray_pool.session import ray_session
from pipeline.runners.ray_pool.tasks import WorkedTogether, raise_cause
from pipeline.runners.ray_pool.time_limits import Pace, StallTimer
from pipeline.runners.recipe import Recipe
from pipeline.throughput import Throughput, WorkedChunk
from schemas.errors import StalledError, WorkerDiedError
from schemas.images import Stage
from schemas.options import RunnerOptions
from schemas.work import Worked, WorkItem

_log = logging.getLogger(__name__)
IN_FLIGHT = 2
"""Chunks that a model actor holds: one worked on, one whose pixels already travel."""
READ_AHEAD = 1
"""Chunks that are read or being read beyond one for each worker."""
_MOST_READS = 3
_CHECK_EVERY_S = 1.0
"""Also while no image comes through: what takes too long is found at most so much later."""


@contextmanager
def open_ray_runner(
    recipe: Recipe, options: RunnerOptions, log: Path, note: Note, early: Iterator[list[WorkItem]]
) -> Iterator[RayRunner]:
    """A pool of model actors on Ray; see `open_runner`."""
    note("starting Ray" if options.ray_address is None else f"connecting to {options.ray_address}")
    with ray_session(options, log) as reader_cpus:
        runner = RayRunner(recipe, options, log, note, reader_cpus)
        try:
            runner.start(early)
            yield runner
        finally:
            runner.close()


class RayRunner:
    """See the module. `info` is set by `start`."""

    info: WorkerInfo
    throughput: Throughput

    def __init__(
        self, recipe: Recipe, options: RunnerOptions, log: Path, note: Note, reader_cpus: float
    ) -> None:
        self._options = options
        self._log = log
        self._note = note
        self._pace = Pace(options.stall_timeout_s)
        self._timer = StallTimer(options.stall_timeout_s)
        self._pending = PendingCalls()
        self._reads = ReadAhead(recipe, options, self._pace, reader_cpus)
        self._actors = ActorPool(recipe, options, log, self._pending)
        self._nodes = NodeWait(options, note)
        self._blame = Blame(options.reader_memory_mb, log)
        self._images_at_once: int | None = None
        self.throughput = Throughput()
        self.observer = RunObserver()

    def start(self, early: Iterator[list[WorkItem]]) -> None:
        """Return when the first actor has loaded its models. Raises what kept it from that."""
        self._note("loading the models")
        # One chunk only: actors that import and load have better use for the cores.
        self._read_ahead(self._timer.restart_with_each(early), most=1)
        self._actors.start()
        noted = time.monotonic()
        while (info := self._actors.wait_for_first(_CHECK_EVERY_S)) is None:
            self._check_stall()
            if self._actors.count_placed() and time.monotonic() > noted + NOTE_EVERY_S:
                noted = time.monotonic()
                needs = self._actors.needs
                self._note(f"still waiting for a worker with {needs} to load the models")
        self.info = info

    def run(self, chunks: Iterable[list[WorkItem]]) -> Iterator[list[Worked]]:
        self._timer.restart()
        source = self._timer.restart_with_each(chunks)
        while True:
            self._read_ahead(source, self._options.workers + READ_AHEAD)
            self._dispatch()
            self._note_queues()
            if self._reads.empty and not self._actors.list_busy():
                return
            for results in self._pending.wait(_CHECK_EVERY_S):
                if results:
                    yield results
                    self._timer.restart()
            self._actors.kill_hung(self._pace)
            self._check_stall()

    def close(self) -> None:
        """End the actors, whatever they are at."""
        self._actors.close()

    def _read_ahead(self, source: Iterator[list[WorkItem]], most: int) -> None:
        for chunk, ended in self._reads.start(source, most):
            self._pending.add(ended, partial(self._finish_read, chunk))

    def _finish_read(self, chunk: Chunk, ended: Any) -> list[Worked]:
        error = self._reads.finish(chunk, ended)
        if error is None:
            return []
        if self._is_lost(chunk, error):
            self._reads.read_again([chunk])
            return []
        return self._judge(chunk, Stage.READ, error)

    def _dispatch(self) -> None:
        if not self._blame.suspects:
            self._actors.release()
        for depth in range(IN_FLIGHT):
            for slot in self._actors.slots:
                if slot.ready and len(slot.chunks) == depth:
                    self._give_next(slot)

    def _give_next(self, slot: Slot) -> None:
        if slot.reserved and slot.chunks:
            return  # a suspect has the actor to itself
        if self._reads.suspects and not self._reads.waiting and not slot.chunks:
            # The actor that was to have them may have no place: its node is gone.
            slot.reserved = slot.reserved or not self._actors.has_place_for_suspects()
        queue = self._reads.suspects if slot.reserved else self._reads.waiting
        if queue:
            chunk = queue.popleft()
            work = slot.begin(chunk, self._images_at_once)
            self._pending.add(work, partial(self._finish_work, slot, chunk))

    def _finish_work(self, slot: Slot, chunk: Chunk, ref: Any) -> list[Worked]:
        seconds = slot.finish(chunk)
        try:
            worked: WorkedTogether = ray.get(ref)
        except (RayActorError, OutOfMemoryError) as exc:
            if slot.hung_s is None and self._is_lost(chunk, exc):
                self._actors.replace(slot)
                self._reads.put_back(chunk, slot.node)
                return []
            return self._handle_death(slot, chunk, exc)
        except ObjectLostError as exc:
            if chunk.reads >= _MOST_READS and is_node_alive(chunk.read_on):
                return self._judge(chunk, Stage.READ, exc)
            self._reads.read_again([chunk])
            self.observer.note_retry("chunk")
            return []
        except RayTaskError as exc:
            if isinstance(exc.cause, WorkerDiedError | MemoryError):
                return self._handle_death(slot, chunk, exc.cause)
            raise_cause(exc)
        self._pace.record(chunk.frames, seconds)
        self.throughput.workers = self._actors.count_ready()
        self.throughput.record(WorkedChunk(chunk.frames, seconds, slot.finished == 1))
        self._blame.clear(chunk)
        self.observer.note_worked(chunk.refs, chunk.report.plus(worked.report))
        self._remember_fit(worked.images_at_once)
        return worked.results

    def _remember_fit(self, images_at_once: int | None) -> None:
        """Have all workers take no more images at once than one has found to fit."""
        known = self._images_at_once
        if images_at_once is not None and (known is None or images_at_once < known):
            self._images_at_once = images_at_once
            sentence = f"out of memory: from now on {quantify(images_at_once, 'image')} at once"
            _log.warning("%s", sentence)
            self._note(sentence)

    def _is_lost(self, chunk: Chunk, error: Exception) -> bool:
        """Whether a chunk went with its node, and is to be done again without blame."""
        if not is_node_lost(error) or chunk.losses == MOST_LOSSES:
            return False
        chunk.losses += 1
        self._restart_timer_if_working()
        self.observer.note_retry("chunk")
        return True

    def _note_queues(self) -> None:
        reads, slots = self._reads, self._actors.slots
        self.observer.note_queues(
            reading=reads.reading,
            waiting=len(reads.waiting) + len(reads.suspects),
            working=sum(len(slot.chunks) for slot in slots),
            workers=self._actors.count_ready(),
        )

    def _handle_death(self, slot: Slot, chunk: Chunk, error: Exception) -> list[Worked]:
        """Replace an actor that died, which had this chunk."""
        slot.reserved = True
        self._actors.replace(slot)
        if chunk.suspect:
            if slot.hung_s is not None:
                error = TimeoutError(f"ended after {slot.hung_s:g} s")
            return self._judge(chunk, Stage.SEGMENT, error)
        # Another chunk was with the actor, so neither is to blame yet.
        self._restart_timer_if_working()
        self._blame.suspect(chunk)
        self._reads.suspects.append(chunk)
        self.observer.note_retry("chunk")
        return []

    def _judge(self, chunk: Chunk, stage: Stage, error: Exception) -> list[Worked]:
        self._restart_timer_if_working()
        chunks, failure = self._blame.judge(chunk, stage, error)
        self._reads.read_again(chunks)
        for _ in chunks:
            self.observer.note_retry("chunk")
        return [] if failure is None else [failure]

    def _restart_timer_if_working(self) -> None:
        # Each death narrows down who is to blame: there are only so many, unless nothing works.
        if self._pace.known:
            self._timer.restart()

    def _check_stall(self) -> None:
        """Raise StalledError if no image came through, nor was listed, for too long.

        Or if there is no node for any worker for too long.
        """
        if self._nodes.check(self._actors.count_placed()):
            self._timer.restart()
        if not self._timer.expired:
            return
        uris = [ref.uri for slot in self._actors.list_busy() for ref in slot.chunks[0].refs]
        if uris:
            where = f"workers were at {', '.join(uris[:3])}{' and others' if uris[3:] else ''}"
        elif not any(slot.ready for slot in self._actors.slots):
            where = f"a worker with {self._actors.needs} was waited for"
        else:
            where = f"{self._reads.first_uri} was being read"
        raise StalledError(
            f"expected an image to come through within {self._timer.timeout_s:g} s "
            f"(stall_timeout_s), got none: {where}, see {self._log}"
        )
