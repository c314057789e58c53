"""Tells a lost node from a process that died on one, and waits for nodes to come.

A worker that has no place yet is a demand that the autoscaler of a cluster sees, KubeRay's too: it
is there from the start of a run to its end, also where a node was lost, and nothing else has to be
asked for. (`ray.autoscaler.sdk.request_resources` would be a demand of the whole cluster, which
outlives the run and replaces what other jobs asked for.)
"""

from __future__ import annotations

import math
import time
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError

from pipeline.messages import quantify
from pipeline.runners.base import Note
from schemas.errors import StalledError
from schemas.options import RunnerOptions

MOST_LOSSES = 5
"""Nodes that a chunk may be lost with, before it is held for the cause."""
_NODE_DIED = "its node has died"  # the only thing by which Ray tells it from a worker's own death
NOTE_EVERY_S = 20.0


def is_node_lost(error: BaseException | None) -> bool:
    """Whether a call ended because of its node: no image, and no model, is to blame.

    Of a process that died, its node tells at once. Where a node goes, nobody does for a while, and
    an actor there is "unavailable" until then.
    """
    if isinstance(error, NodeDiedError | ActorUnavailableError):
        return True
    return isinstance(error, RayActorError) and (error.preempted or _NODE_DIED in str(error))


def is_node_alive(node_id: str) -> bool:
    """Whether the node of this id is part of the cluster, as far as its head knows."""
    return any(node["NodeID"] == node_id for node in _list_alive())


class NodeWait:
    """Waits for a node while no worker has a place; says so, and not for ever."""

    def __init__(self, options: RunnerOptions, note: Note) -> None:
        self._needs = {"CPU": options.cpus_per_worker, "GPU": options.gpus_per_worker}
        self._workers = options.workers
        self._timeout_s = options.node_timeout_s
        self._note = note
        self._since: float | None = None
        self._noted = 0.0

    def check(self, placed: int) -> bool:
        """Whether a node is being waited for, where so many workers have a place.

        Raises StalledError if that takes longer than the settings allow.
        """
        now = time.monotonic()
        if placed:
            self._since = None
            return False
        if self._since is None:
            self._since, self._noted = now, -math.inf
        waited_s = now - self._since
        # A process takes a moment to start where there is room; others may have taken it.
        if waited_s < NOTE_EVERY_S and self._has_room():
            return False
        if waited_s > self._timeout_s:
            raise StalledError(
                f"expected a node with {describe_needs(self._needs)} within {self._timeout_s:g} s "
                f"(node_timeout_s), got none: the cluster has {_describe_nodes(self._needs)}"
            )
        if now - self._noted >= NOTE_EVERY_S:
            self._noted = now
            self._note(
                f"waiting for a node with {describe_needs(self._needs)}: "
                f"{quantify(self._workers, 'worker')} asked for, none has a place yet"
            )
        return True

    def _has_room(self) -> bool:
        return any(
            all(node["Resources"].get(name, 0) >= need for name, need in self._needs.items())
            for node in _list_alive()
        )


def describe_needs(needs: dict[str, float]) -> str:
    """Resources as 1 CPU, 0.5 GPU."""
    return ", ".join(f"{need:g} {name}" for name, need in needs.items())


def _describe_nodes(needs: dict[str, float]) -> str:
    alive = [node["Resources"] for node in _list_alive()]
    each = sorted(describe_needs({name: node.get(name, 0) for name in needs}) for node in alive)
    return f"{quantify(len(alive), 'node')} ({'; '.join(each)})"


def _list_alive() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]
