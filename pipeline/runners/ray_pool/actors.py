"""Model actors on Ray: started, ready when their models are loaded, replaced when they die."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from pipeline.runners.model_worker import WorkerInfo
from pipeline.runners.ray_pool.chunks import Slot
from pipeline.runners.ray_pool.remote import ModelActor, raise_cause
from pipeline.runners.recipe import Recipe, Result
from schemas.errors import ModelError, WorkerDiedError
from schemas.options import RunnerOptions

_MOST_BAD_STARTS = 3
_NODE_DIED = "its node has died"  # the only thing by which Ray tells it from a worker's own death
# glibc hands large blocks back to the system at once, and every mask of every batch is one: getting
# them anew took a quarter of a CPU actor's time. What is free after a chunk is handed back by
# `ModelWorker`. Other C libraries do not read these.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


class ActorPool:
    """As many actors as there are to be workers; `pending` is what their runner waits for."""

    def __init__(
        self,
        recipe: Recipe,
        options: RunnerOptions,
        log: Path,
        pending: dict[Any, Callable[[Any], list[Result]]],
    ) -> None:
        self._recipe = recipe
        self._options = options
        self._log = log
        self._pending = pending
        self._info: WorkerInfo | None = None
        self._bad_starts = 0
        self.slots: list[Slot] = []
        self.needs = f"{options.cpus_per_worker:g} CPU, {options.gpus_per_worker:g} GPU"

    def start(self) -> None:
        """Begin to load the models in every actor."""
        for _ in range(self._options.workers):
            self._add()

    def greeting(self, patience_s: float) -> WorkerInfo | None:
        """What the models of the first actor are, None if they are not loaded yet.

        Raises what kept them from being loaded; WorkerDiedError if it was several processes' end.
        """
        slot = self.slots[0]
        hello = slot.actor.info.remote()
        if ray.wait([hello], timeout=patience_s)[0]:
            try:
                self._info = self._hello(hello)
            except WorkerDiedError as exc:
                self._start_again(slot, exc)
        return self._info

    def replace(self, slot: Slot) -> None:
        """End an actor and start another in its place, unless that has been done."""
        if slot in self.slots:
            self.slots.remove(slot)
            ray.kill(slot.actor)
            self._add(reserved=slot.reserved)

    def close(self) -> None:
        """End all actors, whatever they are at."""
        for slot in self.slots:
            ray.kill(slot.actor)

    def _add(self, *, reserved: bool = False) -> None:
        actor: Any = ray.remote(
            num_cpus=self._options.cpus_per_worker,
            num_gpus=self._options.gpus_per_worker,
            max_restarts=0,
            runtime_env={"env_vars": _KEEP_MEMORY},
        )(ModelActor).remote(self._recipe)
        slot = Slot(actor, reserved=reserved)
        self.slots.append(slot)
        self._pending[actor.info.remote()] = partial(self._greeted, slot)

    def _greeted(self, slot: Slot, ref: Any) -> list[Result]:
        if slot not in self.slots:
            return []
        try:
            info = self._hello(ref)
        except WorkerDiedError as exc:
            self._start_again(slot, exc)
            return []
        if info != self._info:
            raise ModelError("two workers have loaded different models under the same names")
        self._bad_starts = 0
        slot.ready = True
        return []

    def _start_again(self, slot: Slot, error: WorkerDiedError) -> None:
        # A machine that has gone says nothing of the models. Ray sends actors there for a while.
        self._bad_starts += _NODE_DIED not in str(error.__cause__)
        if self._bad_starts == _MOST_BAD_STARTS:
            raise error
        self.replace(slot)

    def _hello(self, ref: Any) -> WorkerInfo:
        try:
            info: WorkerInfo = ray.get(ref)
        except RayActorError as exc:
            raise WorkerDiedError(
                f"a worker process ended while it loaded the models, see {self._log}"
            ) from exc
        except RayTaskError as exc:
            raise_cause(exc)
        return info
