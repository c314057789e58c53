"""Simulated runs: as a plan foretells where all is well, and every image once where it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.plans import PRICES, make_profile

from pipeline.planning import pace
from pipeline.planning.simulation.events import Clock
from pipeline.planning.simulation.job import Job, JobPace
from pipeline.planning.simulation.pool import PoolPace
from pipeline.planning.simulation.readers import ReadPace
from pipeline.planning.simulation.scenario import Scenario
from pipeline.planning.simulation.services import SharedIndex, Store
from pipeline.planning.simulation.simulate import Outcome, Planned, simulate
from pipeline.planning.simulation.work import KnownWork
from pipeline.planning.simulation.world import World
from pipeline.planning.workload import Layout, Workload

PLAIN = Scenario("nothing goes wrong")
IMAGES = 40_000
PLANNED = Planned(
    Workload(IMAGES, 1e6, 1.0, 4),
    make_profile(cpu_s=None),
    Layout("ray", machines=4, workers=2, readers=2, batch_size=16, jobs=4),
    PRICES,
)


def run(scenario: Scenario, **changes: object) -> Outcome:
    layout = replace(PLANNED.layout, **changes)  # type: ignore[arg-type]
    return simulate(replace(PLANNED, layout=layout), scenario)


def run_job(work: KnownWork, images: int, most_images: int = 4, workers: int = 1) -> World:
    """A job alone, whose reading and writing take no time; models are there after ten seconds."""
    world = World.make(None, None, seed=1)
    job_pace = JobPace(
        reading=ReadPace(1, 8, 0.0, 0.0), pool=PoolPace(workers, 10.0, 10.0),
        most_images=most_images, stall_timeout_s=300.0, write_s=0.0, points=1.0, at_once=64,
    )  # fmt: skip
    job = Job(range(images), job_pace, work, world)
    job.start()
    world.clock.run(lambda: job.ended_s is not None)
    return world


def test_what_is_planned_is_done_in_the_order_of_its_times() -> None:
    clock, seen = Clock(), []
    clock.plan(2.0, lambda: seen.append(("b", clock.now)))
    clock.plan(2.0, lambda: seen.append(("c", clock.now)))
    clock.plan(1.0, lambda: clock.plan(0.5, lambda: seen.append(("a", clock.now))))
    clock.run(lambda: False)
    assert seen == [("a", 1.5), ("b", 2.0), ("c", 2.0)]


@pytest.mark.parametrize("changes", [{}, {"workers": 8, "readers": 1}, {"machines": 1, "jobs": 1}])
def test_where_nothing_goes_wrong_it_takes_as_long_as_planned(changes: dict[str, int]) -> None:
    layout = replace(PLANNED.layout, **changes)  # type: ignore[arg-type]
    planned = pace.estimate_seconds(PLANNED.workload, PLANNED.profile, layout)
    found = run(PLAIN, **changes)
    assert found.seconds == pytest.approx(planned, rel=0.01)
    assert found.totals.done == IMAGES
    assert found.totals.chunks_again == found.refused == found.totals.deaths == 0


def test_dollars_are_those_of_machines_and_requests() -> None:
    found = run(PLAIN)
    hours = found.seconds / 3600 * 4
    requests = IMAGES * 0.0004 / 1000 + 40 * 0.005 / 1000
    assert found.usd == pytest.approx(hours * 3.6 + requests, rel=0.01)


@pytest.mark.parametrize("changes", [{"machines": 1}, {"part": 0.25}])
def test_a_share_takes_as_long_as_all(changes: dict[str, float]) -> None:
    whole = run(PLAIN)
    part = simulate(PLANNED, PLAIN, **changes)  # type: ignore[arg-type]
    assert part.totals.done == IMAGES // 4
    assert part.seconds == pytest.approx(whole.seconds, rel=0.01)
    assert part.usd == pytest.approx(whole.usd, rel=0.02)


def test_one_worker_takes_the_sum_of_its_images() -> None:
    world = run_job(KnownWork([0.5] * 20, rejected=[3, 9], killing=[]), 20)
    assert world.totals.done == 20
    assert world.totals.rejected == 2
    assert world.totals.busy_s == pytest.approx(9.0)
    assert world.clock.now == pytest.approx(19.0)
    # The two that are read at once have an image each: nobody knows yet how long one takes.
    assert world.totals.chunks == 2 + 5


def test_an_image_that_kills_is_found_by_halving() -> None:
    world = run_job(KnownWork([1.0] * 9, rejected=[], killing=[3]), 9)
    # With another chunk beside it, alone with three others, with one, and twice by itself.
    assert world.totals.deaths == 5
    assert world.totals.given_up == 1
    assert world.totals.done == 9
    assert world.totals.images_again == 4 + 2 + 1 + 1 + 2 + 1
    assert world.totals.lost_s == pytest.approx((4 + 4 + 2 + 1 + 1) / 2)


def test_every_image_is_done_whatever_is_lost() -> None:
    bad = Scenario("all", spread=1.5, rejected=0.01, killing=1e-4, crashes=2.0, losses=0.5,
                   reclaims=1.0)  # fmt: skip
    found = run(bad)
    assert found.totals.done == IMAGES
    assert found.totals.rejected == pytest.approx(IMAGES * 0.01, rel=0.3)
    assert found.totals.stops > 5
    assert found.totals.deaths > found.totals.stops
    assert 0 < found.totals.given_up < 20
    assert found.totals.images_again > 0
    assert 0 < found.totals.lost_s < found.totals.busy_s / 10
    assert found.busy_share < run(PLAIN).busy_share
    assert found.seconds > run(PLAIN).seconds
    assert [done for _, done in found.totals.history] == sorted(
        done for _, done in found.totals.history
    )


def test_a_spot_machine_is_paid_while_it_is_there() -> None:
    cheap = Scenario("spot", reclaims=2.0, reclaimed_s=1800.0, price=0.5)
    found, plain = run(cheap), run(PLAIN)
    assert found.seconds > plain.seconds * 1.2
    assert found.usd is not None
    assert plain.usd is not None
    assert found.usd < plain.usd * 0.75


def test_what_a_store_refuses_is_asked_for_again() -> None:
    few = simulate(PLANNED, Scenario("slow", gets_per_s=2.0), part=0.02)
    assert few.refused > 0
    images = IMAGES // 50
    assert few.totals.done == images
    assert few.seconds / 50 > images / 2.0 * 0.9 / 50
    free = Store(Clock(), 3.0)
    assert free.admit(2) == 0  # nothing is earned yet
    free.clock.now = 10.0
    assert [free.admit(2), free.admit(2)] == [2, 1]
    assert (free.requests, free.refused) == (6, 3)


def test_an_index_takes_what_it_takes_of_all() -> None:
    index = SharedIndex(Clock(), 10.0)
    assert [index.write_s(20, 0.5), index.write_s(20, 0.5)] == [2.0, 4.0]
    assert SharedIndex(Clock(), None).write_s(20, 0.5) == 0.5
    # Four machines, each writes five points an image.
    found = run(Scenario("slow index", points_per_s=10.0))
    assert found.seconds == pytest.approx(IMAGES * 5 / 10, rel=0.02)
    alone = simulate(PLANNED, Scenario("slow index", points_per_s=10.0), machines=1)
    # A driver that waits for the index gives its workers nothing to do.
    assert alone.seconds > IMAGES * 5 / 10 * 1.1
