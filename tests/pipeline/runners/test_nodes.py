"""A lost node is told from a process that died, and a node is waited for, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)

from pipeline.runners.ray_pool import nodes
from pipeline.runners.ray_pool.nodes import NodeWait, is_node_alive, is_node_lost
from schemas.errors import StalledError
from schemas.options import RunnerOptions

ID = b"0" * 16


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NodeDiedError("gone"), True),
        (ActorUnavailableError("socket closed", ID), True),
        (RayActorError(error_msg="The actor died because its node has died. Node Id: 1"), True),
        (RayActorError(error_msg="drained", preempted=True), True),
        (RayActorError(error_msg="its worker process has died: SIGSEGV"), False),
        (ActorDiedError(), False),
        (OutOfMemoryError("killed"), False),
        (WorkerCrashedError(), False),
        (MemoryError("its node has died"), False),
        (None, False),
    ],
)
def test_a_lost_node_is_told_from_a_process_that_died(
    error: Exception | None, expected: bool
) -> None:
    assert is_node_lost(error) == expected


def node(number: int, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"NodeID": f"{number}", "Alive": alive, "Resources": resources}


class World:
    """A cluster of these nodes, at a time that stands until it is set."""

    def __init__(self) -> None:
        self.now, self.nodes, self.notes = 1000.0, [node(0)], list[str]()

    def wait(self, **options: float) -> NodeWait:
        return NodeWait(RunnerOptions(workers=3, gpus_per_worker=0.5, **options), self.notes.append)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    answer: Callable[[], list[dict[str, Any]]] = lambda: made.nodes  # noqa: E731
    monkeypatch.setattr(nodes.ray, "nodes", answer)
    monkeypatch.setattr(nodes.time, "monotonic", lambda: made.now)
    return made


def test_who_waits_is_told_at_once_and_now_and_then(world: World) -> None:
    wait = world.wait()
    told = "waiting for a node with 1 CPU, 0.5 GPU: 3 workers asked for, none has a place yet"
    for seconds, notes in ((0, 1), (19, 1), (1, 2), (19, 2), (1, 3)):
        world.now += seconds
        assert wait.check(placed=0)
        assert world.notes == [told] * notes
    assert not wait.check(placed=1)
    # Another wait begins anew.
    world.now += 1
    assert wait.check(placed=0)
    assert world.notes == [told] * 4


def test_where_there_is_room_a_process_has_a_while_to_start(world: World) -> None:
    wait = world.wait()
    world.nodes = [node(0), node(1, CPU=1), node(2, CPU=4, GPU=1)]
    assert not wait.check(placed=0)
    world.now += 19
    assert not wait.check(placed=0)
    # The room may be somebody else's.
    world.now += 1
    assert wait.check(placed=0)


@pytest.mark.parametrize(
    "there",
    [
        node(1, CPU=1),
        node(1, GPU=1),
        node(1, CPU=4, GPU=0.25),
        node(1, alive=False, CPU=4, GPU=1),
    ],
)
def test_no_node_with_room_ends_the_run_at_last(world: World, there: dict[str, Any]) -> None:
    world.nodes = [node(0), there]
    wait = world.wait(node_timeout_s=60)
    assert wait.check(placed=0)
    world.now += 60
    assert wait.check(placed=0)
    world.now += 1
    message = r"expected a node with 1 CPU, 0.5 GPU within 60 s \(node_timeout_s\), got none: the "
    with pytest.raises(StalledError, match=message + r"cluster has (1 node|2 nodes) \(.*\)"):
        wait.check(placed=0)


def test_a_node_is_alive_as_long_as_its_head_knows_it(world: World) -> None:
    world.nodes = [node(1), node(2, alive=False)]
    assert [is_node_alive(name) for name in ("1", "2", "3")] == [True, False, False]
