"""Ray: read tasks feed model actors. The driver holds references, never pixels.

Who is blamed when a process dies: a read task takes only its own chunk with it, which is halved
until the image that does it is alone. A model actor takes up to two chunks with it. Each becomes a
suspect, and is tried on a fresh actor with nothing beside it, and halved while it goes on killing.
An image is given up when it has killed twice while alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import ray
from ray.exceptions import (
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from pipeline.process import Decoded, ModelWorker, Recipe, Result, WorkerInfo
from pipeline.runners import Note
from pipeline.runners.ray_session import ray_session
from pipeline.settings import RunnerOptions
from schemas.errors import ModelError, ObjseekError, WorkerDiedError
from schemas.images import DecodedImage, Failure, ImageRef, Stage

IN_FLIGHT = 2
"""Chunks that a model actor holds: one worked on, one whose pixels already travel."""
_MOST_READS = 3
_MOST_BAD_STARTS = 3
_PATIENCE_S = 20.0
# glibc hands large blocks back to the system at once, and every mask of every batch is one: getting
# them anew took a quarter of a CPU actor's time. What is free after a chunk is handed back by
# `ModelWorker`. Other C libraries do not read these.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


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


@dataclass(eq=False)
class _Chunk:
    """Images that travel together. `data` refers to their pixels once they are read."""

    refs: list[ImageRef]
    suspect: bool = False
    deaths: int = 0
    reads: int = 0
    data: Any = None

    def halves(self) -> list[_Chunk]:
        middle = len(self.refs) // 2
        return [_Chunk(part, self.suspect) for part in (self.refs[:middle], self.refs[middle:])]


@dataclass(eq=False)
class _Slot:
    """A place for a model actor. `reserved`: for suspects only, as long as there are any."""

    actor: Any
    ready: bool = False
    reserved: bool = False
    chunks: list[_Chunk] = field(default_factory=list)


class RayRunner:
    """See the module. `info` is set by `start`."""

    info: WorkerInfo

    def __init__(self, recipe: Recipe, options: RunnerOptions, log: Path) -> None:
        self._recipe = recipe
        self._options = options
        self._log = log
        self._read: Any = ray.remote(num_cpus=1, num_returns=2, max_retries=0)(_read)
        self._pending: dict[Any, Callable[[Any], list[Result]]] = {}
        self._again: deque[_Chunk] = deque()
        self._reading: set[_Chunk] = set()
        self._waiting: deque[_Chunk] = deque()
        self._suspects: deque[_Chunk] = deque()
        self._suspected = 0  # suspects wherever they are: read, waiting or worked on
        self._slots: list[_Slot] = []
        self._bad_starts = 0

    def start(self, early: Iterator[list[ImageRef]], note: Note) -> None:
        """Return when the first actor has loaded its models. Raises what kept it from it."""
        note("loading the models")
        # One chunk only: actors that import and load have better use for the cores.
        self._read_ahead(early, most=1)
        for _ in range(self._options.workers):
            self._add_slot()
        hello = self._slots[0].actor.info.remote()
        while not ray.wait([hello], timeout=_PATIENCE_S)[0]:
            note(f"still waiting for a worker with {self._needs()} to load the models")
        self.info = self._hello(hello)

    def run(self, chunks: Iterable[list[ImageRef]]) -> Iterator[list[Result]]:
        source = iter(chunks)
        while True:
            self._read_ahead(source, self._options.workers + 1)
            self._dispatch()
            if not (self._reading or self._waiting or self._suspects or self._working()):
                return
            done, _ = ray.wait(list(self._pending), num_returns=1)
            for ref in done:
                results = self._pending.pop(ref)(ref)
                if results:
                    yield results

    def close(self) -> None:
        """End the actors, whatever they are at."""
        for slot in self._slots:
            ray.kill(slot.actor)

    def _working(self) -> bool:
        return any(slot.chunks for slot in self._slots)

    def _needs(self) -> str:
        return f"{self._options.cpus_per_worker:g} CPU, {self._options.gpus_per_worker:g} GPU"

    # Actors

    def _add_slot(self, *, reserved: bool = False) -> None:
        actor: Any = ray.remote(
            num_cpus=self._options.cpus_per_worker,
            num_gpus=self._options.gpus_per_worker,
            max_restarts=0,
            runtime_env={"env_vars": _KEEP_MEMORY},
        )(_ModelActor).remote(self._recipe)
        slot = _Slot(actor, reserved=reserved)
        self._slots.append(slot)
        self._pending[actor.info.remote()] = partial(self._greeted, slot)

    def _greeted(self, slot: _Slot, ref: Any) -> list[Result]:
        try:
            info = self._hello(ref)
        except WorkerDiedError:
            # Its machine may have gone; a model that no worker survives is another matter.
            self._bad_starts += 1
            if self._bad_starts == _MOST_BAD_STARTS:
                raise
            self._replace(slot)
            return []
        if info != self.info:
            raise ModelError("two workers have loaded different models under the same names")
        self._bad_starts = 0
        slot.ready = True
        return []

    def _replace(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
            ray.kill(slot.actor)
            self._add_slot(reserved=slot.reserved)

    def _hello(self, ref: Any) -> WorkerInfo:
        try:
            info: WorkerInfo = ray.get(ref)
        except RayActorError as exc:
            raise WorkerDiedError(
                f"a worker process ended while it loaded the models, see {self._log}"
            ) from exc
        except RayTaskError as exc:
            _raise_cause(exc)
        return info

    # Reading

    def _read_ahead(self, source: Iterator[list[ImageRef]], most: int) -> None:
        # What has been read before is not held back: it is part of what was in flight.
        while self._again:
            self._start_reading(self._again.popleft())
        while len(self._reading) + len(self._waiting) < most:
            refs = next(source, None)
            if refs is None:
                return
            self._start_reading(_Chunk(refs))

    def _start_reading(self, chunk: _Chunk) -> None:
        chunk.reads += 1
        # The second return tells of the end without fetching the pixels.
        chunk.data, ended = self._read.remote(chunk.refs, self._recipe)
        self._reading.add(chunk)
        self._pending[ended] = partial(self._was_read, chunk)

    def _was_read(self, chunk: _Chunk, ended: Any) -> list[Result]:
        self._reading.remove(chunk)
        try:
            ray.get(ended)
        except (WorkerCrashedError, OutOfMemoryError) as exc:
            return self._died(chunk, Stage.READ, exc)
        except RayTaskError as exc:
            _raise_cause(exc)
        (self._suspects if chunk.suspect else self._waiting).append(chunk)
        return []

    # Working

    def _dispatch(self) -> None:
        if not self._suspected:
            for slot in self._slots:
                slot.reserved = False
        for depth in range(IN_FLIGHT):
            for slot in self._slots:
                if slot.ready and len(slot.chunks) == depth:
                    self._give_next(slot)

    def _give_next(self, slot: _Slot) -> None:
        if not slot.reserved:
            queue = self._waiting
        elif not slot.chunks:
            queue = self._suspects
        else:
            return
        if queue:
            chunk = queue.popleft()
            slot.chunks.append(chunk)
            self._pending[slot.actor.process.remote(chunk.data)] = partial(
                self._was_processed, slot, chunk
            )

    def _was_processed(self, slot: _Slot, chunk: _Chunk, ref: Any) -> list[Result]:
        slot.chunks.remove(chunk)
        try:
            results: list[Result] = ray.get(ref)
        except RayActorError as exc:
            return self._actor_died(slot, chunk, exc)
        except ObjectLostError:
            if chunk.reads == _MOST_READS:
                raise
            self._again.append(chunk)
            return []
        except RayTaskError as exc:
            if isinstance(exc.cause, WorkerDiedError):
                return self._actor_died(slot, chunk, exc.cause)
            _raise_cause(exc)
        self._suspected -= chunk.suspect
        return results

    # Deaths

    def _actor_died(self, slot: _Slot, chunk: _Chunk, error: Exception) -> list[Result]:
        slot.reserved = True
        self._replace(slot)
        if chunk.suspect:
            return self._died(chunk, Stage.SEGMENT, error)
        # Another chunk was with the actor, so neither is to blame yet.
        chunk.suspect = True
        self._suspected += 1
        self._suspects.append(chunk)
        return []

    def _died(self, chunk: _Chunk, stage: Stage, error: Exception) -> list[Result]:
        """What becomes of a chunk that killed a process while it was alone with it."""
        if len(chunk.refs) > 1:
            self._again.extend(chunk.halves())
            self._suspected += chunk.suspect
            return []
        chunk.deaths += 1
        if chunk.deaths < 2:
            self._again.append(chunk)
            return []
        self._suspected -= chunk.suspect
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        ref = chunk.refs[0]
        told = WorkerDiedError(f"the worker process died twice of {ref.uri} alone ({reason:.300})")
        return [Failure.from_error(ref, stage, told)]


def _read(refs: list[ImageRef], recipe: Recipe) -> tuple[list[Decoded], None]:
    return recipe.reader(refs), None


class _ModelActor:
    """A ModelWorker in a process of its own.

    Its constructor does not raise: Ray would hand over the text of the traceback only.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._worker: ModelWorker | Exception
        try:
            self._worker = ModelWorker(recipe)
        except Exception as exc:
            self._worker = exc

    def info(self) -> WorkerInfo:
        return self._usable().info

    def process(self, chunk: Sequence[Decoded]) -> list[Result]:
        return self._usable().process([_writeable(one) for one in chunk])

    def _usable(self) -> ModelWorker:
        if isinstance(self._worker, Exception):
            raise self._worker
        return self._worker


def _writeable(decoded: Decoded) -> Decoded:
    # Arrays in Ray's shared memory are read-only; a model sees the same as in the local runner.
    if isinstance(decoded, DecodedImage):
        return DecodedImage(decoded.ref, np.array(decoded.pixels))
    return decoded


def _raise_cause(error: RayTaskError) -> NoReturn:
    """Raise what the worker raised: one sentence if it is ours, else with its traceback there."""
    if isinstance(error.cause, ObjseekError):
        raise error.cause from None
    raise error
