"""Chooses how a collection of a Qdrant server is laid out for so many objects, and says why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.planning.estimate import SERVER_MEMORY_SHARE
from pipeline.planning.profile import PointBytes
from schemas.errors import UsageError
from schemas.payload import (
    DATETIME_FIELDS,
    FIRST_LABEL,
    FIRST_LABEL_SCORE,
    FLOAT_FIELDS,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
)
from workers.indexes.server.layout import GRAPH_M, CollectionLayout, Quantization

_FEW_POINTS = 1_000_000
"""Fewer are compared one by one in no time, and fit any memory."""
_POINTS_A_SHARD = 20_000_000
_SHARDS_A_NODE = 2
_LINK_BYTES = 4
_RESERVED = 0.8
"""Of a node's memory: the system, requests and the cache of files have the rest."""
_SAFE_NODES = 3
_INDEXED = len({*KEYWORD_FIELDS, *INTEGER_FIELDS, *FLOAT_FIELDS, *DATETIME_FIELDS}) + len(
    {FIRST_LABEL, FIRST_LABEL_SCORE}
)
_BITS: dict[Quantization, float] = {
    "none": 32, "int8": 8, "turbo 4 bits": 4, "turbo 1 bit": 1, "binary": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a collection is for: `points` of `dim` numbers on `nodes`.

    `replicas`: None leaves it to the number of nodes. `memory_bytes` of each node; None: what it
    takes is said, and whole vectors are kept in memory of a few points alone. `filling`: whether
    its graph is made later; None: where there are many. `has_turbo`: the server has TurboQuant.
    """

    points: int
    dim: int
    nodes: int = 1
    replicas: int | None = None
    memory_bytes: float | None = None
    filling: bool | None = None
    has_turbo: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting, as people read it."""

    setting: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """A layout with its reasons. Bytes are of all nodes together, replicas included."""

    layout: CollectionLayout
    choices: tuple[Choice, ...]
    memory_bytes: float
    disk_bytes: float


def plan_collection(wanted: Wanted, stored: PointBytes) -> CollectionPlan:
    """The layout of a collection whose points have payloads of `stored` bytes.

    Raises UsageError for more replicas than nodes, and where no layout fits the memory.
    """
    replicas = _choose_replicas(wanted)
    quantization, graph_on_disk = _choose_memory(wanted, replicas)
    layout = CollectionLayout(
        shards=choose_shards(wanted.points, wanted.nodes),
        replicas=replicas,
        write_consistency=replicas // 2 + 1 if replicas >= _SAFE_NODES else 1,
        quantization=quantization,
        vectors_on_disk=quantization != "none",
        payload_on_disk=True,
        graph_on_disk=graph_on_disk,
        filling=wanted.points >= _FEW_POINTS if wanted.filling is None else wanted.filling,
    )
    point_bytes = (
        wanted.dim * (32 + (_BITS[quantization] if quantization != "none" else 0)) / 8
        + 2 * GRAPH_M * _LINK_BYTES
        + stored.payload
        + stored.thumbnail
    )
    return CollectionPlan(
        layout,
        _explain(wanted, layout, stored),
        memory_bytes=measure_memory(wanted, quantization, graph_on_disk) * replicas,
        disk_bytes=wanted.points * point_bytes * replicas,
    )


def choose_shards(points: int, nodes: int) -> int:
    """A multiple of the nodes: two each, so that there may be twice as many nodes later.

    More where shards would have more than twenty million points each; of few points one each.
    """
    a_node = _SHARDS_A_NODE if points >= _FEW_POINTS else 1
    return nodes * max(a_node, math.ceil(points / _POINTS_A_SHARD / nodes))


def measure_memory(wanted: Wanted, quantization: Quantization, graph_on_disk: bool) -> float:
    """Bytes that one copy of the collection wants in memory, of all nodes together.

    Whole vectors with half as much again for the graph and the rest, as `objseek plan` has it. Else
    what is left of vectors, and the graph, with half as much again.
    """
    kept = wanted.dim * _BITS[quantization] / 8
    if quantization != "none" and not graph_on_disk:
        kept += 2 * GRAPH_M * _LINK_BYTES
    return wanted.points * kept * SERVER_MEMORY_SHARE


def _choose_replicas(wanted: Wanted) -> int:
    if wanted.replicas is None:
        return 2 if wanted.nodes >= _SAFE_NODES else 1
    if wanted.replicas > wanted.nodes:
        raise UsageError(
            f"expected as many nodes as replicas, or more, got {wanted.replicas} replicas on "
            f"{wanted.nodes}: two copies on one node are lost together"
        )
    return wanted.replicas


def _choose_memory(wanted: Wanted, replicas: int) -> tuple[Quantization, bool]:
    """How vectors are quantized, and whether the graph is on disk: the most exact that fits."""
    eighth: Quantization = "turbo 4 bits" if wanted.has_turbo else "int8"
    least: Quantization = "turbo 1 bit" if wanted.has_turbo else "binary"
    if wanted.memory_bytes is None:
        return ("none" if wanted.points < _FEW_POINTS else eighth), False
    ways: list[tuple[Quantization, bool]] = [
        ("none", False), (eighth, False), (least, False), (least, True)
    ]  # fmt: skip
    there = wanted.memory_bytes * wanted.nodes * _RESERVED
    for quantization, graph_on_disk in ways:
        needed = measure_memory(wanted, quantization, graph_on_disk) * replicas
        if needed <= there:
            return quantization, graph_on_disk
    nodes = math.ceil(needed / _RESERVED / wanted.memory_bytes)
    raise UsageError(
        f"expected {nodes:,} nodes of {wanted.memory_bytes / 1e9:,.0f} GB, or "
        f"{needed / _RESERVED / wanted.nodes / 1e9:,.0f} GB each, for {wanted.points:,} points of "
        f"{wanted.dim} numbers in {replicas} {'copy' if replicas == 1 else 'copies'}, got "
        f"{wanted.nodes:,} of {wanted.memory_bytes / 1e9:,.0f} GB: one bit a number is the least"
    )


def _explain(wanted: Wanted, layout: CollectionLayout, stored: PointBytes) -> tuple[Choice, ...]:
    payload_kb = (stored.payload + stored.thumbnail) / 1e3
    return (
        Choice("shard_number", str(layout.shards), _why_shards(wanted, layout)),
        Choice("replication_factor", str(layout.replicas), _why_replicas(wanted, layout)),
        Choice("write_consistency_factor", str(layout.write_consistency), _why_consistency(layout)),
        Choice("quantization", layout.quantization, _why_quantization(wanted, layout)),
        Choice(
            "vectors", "on disk" if layout.vectors_on_disk else "in memory",
            "the nearest by quantized vectors are read from there, and compared whole"
            if layout.vectors_on_disk else "searches are quickest so",
        ),
        Choice(
            "payload", "on disk",
            f"{payload_kb:.1f} kB a point, mask and thumbnail included, is read of hits alone",
        ),
        Choice(
            "graph (hnsw)",
            f"m {GRAPH_M}, {'on disk' if layout.graph_on_disk else 'in memory'}",
            "Qdrant's own; no payload_m: one index is no tenant of others"
            + ("; there is no memory for it" if layout.graph_on_disk else ""),
        ),
        Choice(
            "payload indexes", f"{_INDEXED} fields",
            "those of an ingest, made before points come, so that the graph knows of filters",
        ),
        Choice("bulk mode", "on" if layout.filling else "off", _why_filling(layout)),
    )  # fmt: skip


def _why_shards(wanted: Wanted, layout: CollectionLayout) -> str:
    a_node, points = layout.shards // wanted.nodes, wanted.points / layout.shards
    each = f"{points / 1e6:,.1f} million points" if points >= 1e6 else f"{points:,.0f} points"
    if a_node == 1:
        return f"one a node, {each} each: more would cost memory and make nothing quicker"
    return f"{a_node} a node, so that as many times the nodes can share them later; {each} each"


def _why_replicas(wanted: Wanted, layout: CollectionLayout) -> str:
    if layout.replicas > 1:
        return "a node may be lost, and nothing is: each copy is on a node of its own"
    if wanted.nodes == 1:
        return "there is one node: keep a backup (`objseek backup`)"
    return "one copy: a node that is lost takes its share; keep a backup (`objseek backup`)"


def _why_consistency(layout: CollectionLayout) -> str:
    if layout.write_consistency > 1:
        return "most copies have a point before its image is recorded as done"
    if layout.replicas > 1:
        return "a node that is away stops no ingest; it catches up when it is back"
    return "there is one copy"


def _why_quantization(wanted: Wanted, layout: CollectionLayout) -> str:
    whole = wanted.points * wanted.dim * 4 * SERVER_MEMORY_SHARE * layout.replicas / 1e9
    if layout.quantization == "none":
        there = "" if wanted.memory_bytes is None else ", which is there"
        return f"whole vectors want {whole:,.1f} GB of memory{there}"
    share = 32 / _BITS[layout.quantization]
    missing = "" if wanted.has_turbo else "; a server from 1.18 on would have TurboQuant"
    return (
        f"whole vectors would want {whole:,.1f} GB of memory; these are {share:.0f} times smaller, "
        f"and rank again by the whole ones{missing}"
    )


def _why_filling(layout: CollectionLayout) -> str:
    if not layout.filling:
        return "the graph grows as points come: searches are quick at once"
    return "m is 0 while it is filled, and the graph is made once: `objseek optimize` afterwards"
