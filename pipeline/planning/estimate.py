"""Estimates time, money and storage of a run, part by part, from figures alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.planning import pace
from pipeline.planning.prices import HOURS_A_MONTH, Prices
from pipeline.planning.profile import Profile
from pipeline.planning.searches import Searches
from pipeline.planning.workload import IndexPlan, Layout, Workload

MANIFEST_BYTES = 84
"""Of an image (docs/scale.md)."""
SERVER_MEMORY_SHARE = 1.5
"""Of the vectors' bytes: what Qdrant's own rule of thumb adds for the graph and the rest."""
_COMMIT_IMAGES, _COMMIT_POINTS = 1000, 16_384
_COMMIT_PUTS = 3
"""A data file, a transaction, a manifest."""
_GB, _GIB = 1e9, 2**30
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the bill. None where something does not apply, or is not known.

    `seconds` by the clock if all who do it do nothing else; `usd` once, `usd_month` as long as it
    is kept; `size_bytes` is what it moves or takes.
    """

    name: str
    seconds: float | None = None
    usd: float | None = None
    usd_month: float | None = None
    size_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole bill. `usd` is None where no price of the machine is known.

    `memory_bytes`: of the index where it is searched, None where nothing has to be in memory.
    """

    seconds: float
    parts: tuple[Part, ...]
    stages: tuple[pace.Stage, ...]
    bottleneck: pace.Stage
    marginals: tuple[pace.Marginal, ...]
    usd: float | None
    usd_month: float
    stored_bytes: float
    memory_bytes: float | None
    usd_million_searches: float | None
    server: str


def estimate(
    workload: Workload,
    profile: Profile,
    layout: Layout,
    index: IndexPlan,
    prices: Prices,
    searches: Searches,
) -> Estimate:
    """The bill of a run on `layout.machines` machines of `profile`, and of what it leaves."""
    stages = pace.list_stages(workload, profile, layout)
    seconds = pace.estimate_seconds(workload, profile, layout)
    working = [
        *_list_reading(workload, profile, layout, prices),
        *_list_computing(workload, profile, layout),
        _price_writing(workload, profile, layout, index, prices),
        _price_machines(seconds, profile, layout, prices),
    ]
    stored = _list_stored(workload, profile, index, prices)
    memory, server = _serve(workload, index, prices)
    kept = [*stored, *([server] if server.size_bytes else [])]
    is_known = prices.usd_per_hour(profile.instance) is not None
    return Estimate(
        seconds=seconds,
        parts=(*working, *kept),
        stages=tuple(stages),
        bottleneck=pace.find_bottleneck(stages),
        marginals=tuple(pace.list_marginals(workload, profile, layout)),
        usd=_sum([part.usd for part in working]) if is_known else None,
        usd_month=_sum([part.usd_month for part in kept]),
        stored_bytes=_sum([part.size_bytes for part in stored]),
        memory_bytes=memory,
        usd_million_searches=_price_searches(searches, prices) if index.kind == "lance" else None,
        server=server.name if server.size_bytes else "",
    )


def _list_reading(
    workload: Workload, profile: Profile, layout: Layout, prices: Prices
) -> list[Part]:
    fetch, decode = pace.read_seconds(workload, profile, layout)
    readers = layout.readers if layout.runner == "ray" else layout.workers
    spread = workload.images / (layout.machines * readers)
    moved = workload.images * workload.image_bytes
    listing = workload.images / 1000 * profile.seconds.list_page
    requests, gets, transfer = 0.0, 0.0, 0.0
    if workload.from_s3:
        requests = workload.pages * prices.s3.puts_1000 / 1000
        gets = workload.images * prices.s3.gets_1000 / 1000
        transfer = moved / _GB * prices.transfer(workload.transfer)
    return [
        Part("listing", listing / layout.jobs, requests),
        Part("reading", fetch * spread, gets, size_bytes=moved),
        Part("transfer", usd=transfer, size_bytes=moved),
        Part("decoding", decode * spread),
    ]


def _list_computing(workload: Workload, profile: Profile, layout: Layout) -> list[Part]:
    names = ("segmenting", "embedding", "crops, labels, thumbnails")
    spread = workload.images / pace.count_workers(profile, layout)
    taken = pace.model_seconds(workload, profile)
    return [Part(name, seconds * spread) for name, seconds in zip(names, taken, strict=True)]


def _price_writing(
    workload: Workload, profile: Profile, layout: Layout, index: IndexPlan, prices: Prices
) -> Part:
    writing = pace.write_seconds(workload, profile) * workload.images / layout.jobs
    if index.kind != "lance":
        return Part("writing", writing)
    return Part("writing", writing, count_commit_puts(workload) * prices.s3.puts_1000 / 1000)


def count_commit_puts(workload: Workload) -> int:
    """PUTs of the commits that write all images to a Lance table; its upkeep needs few beside."""
    commits = max(workload.images / _COMMIT_IMAGES, workload.points / _COMMIT_POINTS)
    return _COMMIT_PUTS * math.ceil(commits)


def _price_machines(seconds: float, profile: Profile, layout: Layout, prices: Prices) -> Part:
    usd_per_hour = prices.usd_per_hour(profile.instance)
    usd = None if usd_per_hour is None else seconds / 3600 * layout.machines * usd_per_hour
    name = "machine" if layout.machines == 1 else f"{layout.machines:,} machines"
    return Part(name, seconds, usd)


def _list_stored(
    workload: Workload, profile: Profile, index: IndexPlan, prices: Prices
) -> list[Part]:
    packed = workload.points * (index.dim * 4 + profile.bytes.payload)
    sizes = {
        "vectors": workload.points * index.dim * 4,
        # A server keeps whole vectors alone, in memory.
        "vectors in four bits": workload.points * index.dim / 2 if index.kind != "server" else 0,
        "payload and masks": workload.points * profile.bytes.payload,
        "points packed, to be read whole": packed if index.kind == "lance" else 0,
        "thumbnails": workload.points * profile.bytes.thumbnail,
        "manifest": workload.images * MANIFEST_BYTES,
    }
    on_s3 = index.kind == "lance"
    usd_gb = prices.s3.storage_gb_month if on_s3 else prices.disk.gb_month
    return [
        Part(name, usd_month=size / _GB * usd_gb, size_bytes=size)
        for name, size in sizes.items()
        if size
    ]


def _serve(workload: Workload, index: IndexPlan, prices: Prices) -> tuple[float | None, Part]:
    """Bytes of memory where it is searched, and the server that is always on, if there is one."""
    vectors = workload.points * index.dim * 4
    if index.kind == "lance":
        return None, Part("")
    if index.kind == "folder":
        return vectors / 8, Part("")
    memory = vectors * SERVER_MEMORY_SHARE
    count, server = prices.servers_for(memory / _GIB)
    name = f"{count:,} x {server.name}, always on"
    month = count * server.usd_per_hour * HOURS_A_MONTH
    return memory, Part(name, usd_month=month, size_bytes=memory)


def _price_searches(searches: Searches, prices: Prices) -> float:
    return searches.gets_warm * _MILLION / 1000 * prices.s3.gets_1000


def _sum(values: Sequence[float | None]) -> float:
    return sum(value for value in values if value is not None)
