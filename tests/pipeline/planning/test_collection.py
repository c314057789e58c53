"""The layout of a collection, for few and many objects, nodes and little memory."""

from __future__ import annotations

import pytest

from pipeline.planning.collection import Wanted, choose_shards, plan_collection
from pipeline.planning.profile import PointBytes
from schemas.errors import UsageError
from workers.indexes.server.layout import CollectionLayout

STORED = PointBytes(payload=1000, thumbnail=5000)
GB = 10**9
FEW, MANY, ALL = 10**5, 10**7, 10**9


@pytest.mark.parametrize(
    ("points", "nodes", "shards"),
    [
        (FEW, 1, 1), (FEW, 3, 3), (FEW, 8, 8),
        (MANY, 1, 2), (MANY, 3, 6), (MANY, 8, 16),
        # Of twenty million points at most.
        (ALL, 1, 50), (ALL, 3, 51), (ALL, 8, 56),
    ],
)  # fmt: skip
def test_shards_are_a_multiple_of_nodes_with_room_to_grow(
    points: int, nodes: int, shards: int
) -> None:
    assert choose_shards(points, nodes) == shards
    assert shards % nodes == 0


@pytest.mark.parametrize(
    ("nodes", "given", "replicas", "consistency"),
    [
        (1, None, 1, 1),
        (2, None, 1, 1),
        (3, None, 2, 1),
        (8, None, 2, 1),
        (3, 3, 3, 2),
        (8, 5, 5, 3),
    ],
)
def test_replicas(nodes: int, given: int | None, replicas: int, consistency: int) -> None:
    layout = plan_collection(Wanted(MANY, 512, nodes, given), STORED).layout
    assert (layout.replicas, layout.write_consistency) == (replicas, consistency)


@pytest.mark.parametrize(
    ("points", "nodes", "memory_gb", "quantization", "graph_on_disk"),
    [
        (FEW, 1, None, "none", False),
        (MANY, 1, None, "turbo 4 bits", False),
        (ALL, 8, None, "turbo 4 bits", False),
        # 30.7 GB of whole vectors; 5.8 in four bits, 2.9 in one, 1 without the graph in memory.
        (MANY, 1, 64, "none", False),
        (MANY, 1, 32, "turbo 4 bits", False),
        (MANY, 1, 4, "turbo 1 bit", False),
        (MANY, 1, 2, "turbo 1 bit", True),
        # Of two copies on three nodes two thirds are on each.
        (MANY, 3, 32, "none", False),
        (MANY, 3, 16, "turbo 4 bits", False),
        (ALL, 8, 256, "turbo 4 bits", False),
        (ALL, 8, 100, "turbo 1 bit", False),
        (ALL, 8, 64, "turbo 1 bit", True),
    ],
)
def test_the_most_exact_that_fits_the_memory(
    points: int, nodes: int, memory_gb: int | None, quantization: str, graph_on_disk: bool
) -> None:
    memory = None if memory_gb is None else memory_gb * GB
    plan = plan_collection(Wanted(points, 512, nodes, memory_bytes=memory), STORED)
    assert (plan.layout.quantization, plan.layout.graph_on_disk) == (quantization, graph_on_disk)
    assert plan.layout.vectors_on_disk == (quantization != "none")
    if memory is not None:
        assert plan.memory_bytes <= 0.8 * memory * nodes


@pytest.mark.parametrize(("memory_gb", "quantization"), [(32, "int8"), (4, "binary")])
def test_servers_without_turboquant(memory_gb: int, quantization: str) -> None:
    wanted = Wanted(MANY, 512, memory_bytes=memory_gb * GB, has_turbo=False)
    plan = plan_collection(wanted, STORED)
    assert plan.layout.quantization == quantization
    why = next(each.why for each in plan.choices if each.setting == "quantization")
    assert why.endswith("a server from 1.18 on would have TurboQuant")


def test_figures_by_hand() -> None:
    plan = plan_collection(Wanted(MANY, 512, 3), STORED)
    assert plan.layout == CollectionLayout(6, 2, 1, "turbo 4 bits", True, True, False, True)
    # 256 bytes of four bits and 128 of links, and half as much again, twice.
    assert plan.memory_bytes == 2 * MANY * (256 + 128) * 1.5
    assert plan.disk_bytes == 2 * MANY * (2048 + 256 + 128 + 6000)
    few = plan_collection(Wanted(FEW, 512), STORED)
    assert few.memory_bytes == FEW * 2048 * 1.5
    assert not few.layout.filling
    assert plan_collection(Wanted(FEW, 512, filling=True), STORED).layout.filling
    assert [each.setting for each in few.choices] == [
        "shard_number", "replication_factor", "write_consistency_factor", "quantization",
        "vectors", "payload", "graph (hnsw)", "payload indexes", "bulk mode",
    ]  # fmt: skip
    assert all(each.why for each in few.choices)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="expected 8 nodes of 32 GB, or 80 GB each, for 1,000,000"):
        plan_collection(Wanted(ALL, 512, 3, memory_bytes=32 * GB), STORED)
    with pytest.raises(UsageError, match="got 3 replicas on 2"):
        plan_collection(Wanted(ALL, 512, 2, 3), STORED)
