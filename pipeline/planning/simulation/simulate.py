"""Simulates an ingest on many machines, by the counts and seconds that a plan goes by."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.planning import pace
from pipeline.planning.prices import Prices
from pipeline.planning.profile import Profile
from pipeline.planning.simulation.job import Job, JobPace
from pipeline.planning.simulation.machines import Machine
from pipeline.planning.simulation.pool import PoolPace
from pipeline.planning.simulation.readers import ReadPace
from pipeline.planning.simulation.scenario import Scenario
from pipeline.planning.simulation.totals import Totals
from pipeline.planning.simulation.work import DrawnWork
from pipeline.planning.simulation.world import World
from pipeline.planning.workload import Layout, Workload
from pipeline.runners.ray_pool.chunks import MOST_BYTES
from schemas.options import RunnerOptions
from workers.indexes.point_index import PointIndex

_ROW_S = 1.7e-6
"""Of an image in the manifest, to read it when a job begins anew (docs/scale.md)."""
_HELD_S = 3.9e-6
"""Of an image that is listed, to hold it against the manifest (docs/scale.md)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated run took. `share` of all images was simulated; `totals` are of these.

    Of each machine's images that was a `part`.

    `seconds` and `usd` are of all images; `usd` None where nobody knows what a machine costs.
    `busy_share`: of the time of workers that was paid, what went into images that came through.
    """

    scenario: Scenario
    share: float
    part: float
    seconds: float
    usd: float | None
    busy_share: float
    totals: Totals
    refused: int


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan is made of: see `pipeline.planning.estimate`."""

    workload: Workload
    profile: Profile
    layout: Layout
    prices: Prices


def simulate(
    planned: Planned,
    scenario: Scenario,
    *,
    machines: int | None = None,
    part: float = 1.0,
    seed: int = 1,
) -> Outcome:
    """An ingest by a job on each machine of the layout.

    Each job has an equal range of the keys, listed ahead of its work. Of all `machines` so many are
    simulated, None: all; they have their share of the store and of the index, and a job that begins
    anew finds rows of all. With a `part` below one, so much of each range is done, at rates and
    durations as they are: only for what happens often.
    """
    workload, profile = planned.workload, planned.profile
    simulated = machines or planned.layout.machines
    share = simulated / planned.layout.machines
    world = World.make(
        None if scenario.gets_per_s is None else scenario.gets_per_s * share,
        None if scenario.points_per_s is None else scenario.points_per_s * share,
        seed,
    )
    images = max(1, round(workload.images * part / planned.layout.machines))
    mean_s = sum(pace.model_seconds(workload, profile))
    job_pace = build_pace(planned, scenario)

    def resume_s(written: int) -> float:
        """Until a job that begins anew has work: it reads the rows of all, and lists its range."""
        listed_s = profile.seconds.list_page / 1000 + _HELD_S
        return (world.totals.done / share * _ROW_S + written * listed_s) / part

    jobs, used = [], []
    for number in range(simulated):
        work = DrawnWork(images, mean_s, scenario, seed * 100_003 + number)
        jobs.append(Job(range(images), job_pace, work, world))
        used.append(Machine(jobs[-1], scenario, world, resume_s))
        used[-1].start()
    world.clock.run(lambda: all(job.ended_s is not None for job in jobs))
    ended_s = max(job.ended_s or 0.0 for job in jobs)
    paid_s = sum(machine.paid_s for machine in used)
    return _sum_up(planned, scenario, (share, part), world, (ended_s, paid_s))


def build_pace(planned: Planned, scenario: Scenario) -> JobPace:
    """How fast one job is by a profile, with the limits that the code has."""
    workload, profile, layout = planned.workload, planned.profile, planned.layout
    largest = max(1, int(MOST_BYTES / max(workload.image_bytes, 1)))
    workers = pace.count_workers(profile, layout) // layout.machines
    decode_s = profile.seconds.decode_mpx * workload.megapixels
    return JobPace(
        reading=ReadPace(layout.readers, layout.reads_at_once, profile.seconds.read, decode_s),
        pool=PoolPace(
            workers, pace.start_seconds(profile, layout), profile.seconds.start, scenario.crashes
        ),
        most_images=min(layout.batch_size, largest),
        stall_timeout_s=RunnerOptions().stall_timeout_s,
        write_s=pace.write_seconds(workload, profile),
        points=workload.points_an_image,
        at_once=PointIndex.images_at_once,
    )


def _sum_up(
    planned: Planned,
    scenario: Scenario,
    share_and_part: tuple[float, float],
    world: World,
    ended_and_paid_s: tuple[float, float],
) -> Outcome:
    ended_s, paid_s = ended_and_paid_s
    share, part = share_and_part[0] * share_and_part[1], share_and_part[1]
    prices, layout, totals, store = planned.prices, planned.layout, world.totals, world.store
    start_s = pace.start_seconds(planned.profile, layout)
    workers = pace.count_workers(planned.profile, layout) // layout.machines
    hourly = prices.usd_per_hour(planned.profile.instance)
    usd = None
    if hourly is not None:
        answered = store.requests - store.refused
        listed = planned.workload.pages * share
        requests = (answered * prices.s3.gets_1000 + listed * prices.s3.puts_1000) / 1000
        usd = (paid_s / 3600 * hourly * scenario.price + requests) / share
    return Outcome(
        scenario,
        share,
        part,
        seconds=start_s + (ended_s - start_s) / part,
        usd=usd,
        busy_share=(totals.busy_s - totals.lost_s) / (paid_s * workers),
        totals=totals,
        refused=store.refused,
    )
