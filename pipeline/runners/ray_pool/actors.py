"""Starts model actors on Ray, and replaces those that die."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from pipeline.runners.model_worker import WorkerInfo
from pipeline.runners.ray_pool.chunks import Chunk
from pipeline.runners.ray_pool.node_cpus import compute_worker_cpus
from pipeline.runners.ray_pool.nodes import describe_needs, is_node_lost
from pipeline.runners.ray_pool.pending_calls import PendingCalls
from pipeline.runners.ray_pool.tasks import ModelActor, raise_cause
from pipeline.runners.ray_pool.time_limits import Pace
from pipeline.runners.recipe import Recipe
from schemas.errors import ModelError, WorkerDiedError
from schemas.options import RunnerOptions
from schemas.work import Worked

_MOST_BAD_STARTS = 3
# glibc hands large blocks back to the system at once, and every mask of every batch is one: getting
# them anew took a quarter of a CPU actor's time. What is free after a chunk is handed back by
# `ModelWorker`. Other C libraries do not read these.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


@dataclass(eq=False)
class Slot:
    """A place for a model actor. `reserved`: for suspects only, as long as there are any.

    `placed` refers to the id of the node that has started it, `loaded` to what its models are.
    `since`: when work on the first of its chunks began, by `time.monotonic`; `finished`: chunks
    that the actor is done with; `hung_s`: the seconds after which it was killed for one.
    """

    actor: Any
    placed: Any
    loaded: Any
    ready: bool = False
    reserved: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    since: float = 0.0
    finished: int = 0
    hung_s: float | None = None

    @property
    def node(self) -> str:
        """The id of the node of an actor that is ready."""
        node: str = ray.get(self.placed)
        return node

    def begin(self, chunk: Chunk, images_at_once: int | None) -> Any:
        """Give the actor one more chunk; the reference of its results."""
        if not self.chunks:
            self.since = time.monotonic()
        self.chunks.append(chunk)
        work = self.actor.process.remote(chunk.data, chunk.known, chunk.added, images_at_once)
        chunk.work = work
        return work

    def finish(self, chunk: Chunk) -> float:
        """Take a chunk from the actor; the seconds that it was worked on."""
        self.chunks.remove(chunk)
        self.finished += 1
        began, self.since = self.since, time.monotonic()
        return self.since - began

    def limit_s(self, pace: Pace) -> float:
        """For how long the actor may be at the chunk that it is at."""
        return pace.limit_s(self.chunks[0].frames)


class ActorPool:
    """An actor for each worker. `needs` says what resources one takes."""

    def __init__(
        self, recipe: Recipe, options: RunnerOptions, log: Path, pending: PendingCalls
    ) -> None:
        self._recipe = recipe
        self._options = options
        self._log = log
        self._pending = pending
        self._info: WorkerInfo | None = None
        self._bad_starts = 0
        self.slots: list[Slot] = []
        needs = {"CPU": options.cpus_per_worker, "GPU": options.gpus_per_worker}
        self.needs = describe_needs(needs)

    def start(self) -> None:
        """Begin to load the models in every actor."""
        for _ in range(self._options.workers):
            self._add()

    def wait_for_first(self, patience_s: float) -> WorkerInfo | None:
        """What the models of the first actor to load them are, None if they are not loaded yet.

        Raises what kept them from being loaded; WorkerDiedError if several processes ended there.
        """
        loading = {slot.loaded: slot for slot in self.slots}
        for loaded in ray.wait(list(loading), timeout=patience_s)[0]:
            try:
                self._info = self._get_info(loaded)
            except WorkerDiedError as exc:
                self._start_again(loading[loaded], exc)
        return self._info

    def replace(self, slot: Slot) -> None:
        """End an actor and start another in its place, unless that has been done."""
        if slot in self.slots:
            self.slots.remove(slot)
            ray.kill(slot.actor)
            self._add(reserved=slot.reserved)

    def release(self) -> None:
        """Let every actor have any chunk: there are no suspects left."""
        for slot in self.slots:
            slot.reserved = False

    def list_busy(self) -> list[Slot]:
        """The places of actors that have a chunk."""
        return [slot for slot in self.slots if slot.chunks]

    def kill_hung(self, pace: Pace) -> None:
        """End every actor that has been at a chunk for longer than `pace` allows."""
        for slot in self.list_busy():
            if slot.hung_s is not None:
                continue
            limit_s = slot.limit_s(pace)
            overdue = time.monotonic() - slot.since > limit_s
            # It may have ended while whoever takes the results was busy with others.
            if overdue and not ray.wait([slot.chunks[0].work], timeout=0)[0]:
                slot.hung_s = limit_s
                pace.record_timeout()
                ray.kill(slot.actor)

    def count_ready(self) -> int:
        """Actors that have loaded their models."""
        return sum(slot.ready for slot in self.slots)

    def has_place_for_suspects(self) -> bool:
        """Whether an actor that is reserved for them has a process."""
        reserved = [slot.placed for slot in self.slots if slot.reserved]
        return bool(reserved and ray.wait(reserved, timeout=0)[0])

    def count_placed(self) -> int:
        """Actors whose process a node has started."""
        placed = [slot.placed for slot in self.slots]
        return len(ray.wait(placed, num_returns=len(placed), timeout=0)[0])

    def close(self) -> None:
        """End all actors, whatever they are at."""
        for slot in self.slots:
            ray.kill(slot.actor)

    def _add(self, *, reserved: bool = False) -> None:
        actor: Any = ray.remote(
            num_cpus=compute_worker_cpus(self._options.cpus_per_worker),
            num_gpus=self._options.gpus_per_worker,
            max_restarts=0,
            runtime_env={"env_vars": _KEEP_MEMORY},
        )(ModelActor).remote(self._recipe)
        slot = Slot(actor, actor.tell_node.remote(), actor.info.remote(), reserved=reserved)
        self.slots.append(slot)
        self._pending.add(slot.loaded, partial(self._finish_start, slot))

    def _finish_start(self, slot: Slot, ref: Any) -> list[Worked]:
        if slot not in self.slots:
            return []
        try:
            info = self._get_info(ref)
        except WorkerDiedError as exc:
            self._start_again(slot, exc)
            return []
        if info != self._info:
            raise ModelError("two workers have loaded different models under the same names")
        self._bad_starts = 0
        slot.ready = True
        return []

    def _start_again(self, slot: Slot, error: WorkerDiedError) -> None:
        # A machine that has gone says nothing about the models. Ray sends actors there for a while.
        self._bad_starts += not is_node_lost(error.__cause__)
        if self._bad_starts == _MOST_BAD_STARTS:
            raise error
        self.replace(slot)

    def _get_info(self, ref: Any) -> WorkerInfo:
        try:
            info: WorkerInfo = ray.get(ref)
        except RayActorError as exc:
            raise WorkerDiedError(
                f"a worker process ended while it loaded the models, see {self._log}"
            ) from exc
        except RayTaskError as exc:
            raise_cause(exc)
        return info
