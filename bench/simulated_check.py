"""Holds a simulated run against a real one of the same images, with models that sleep.

The real one is an ingest on Ray with two model actors: their seconds an image have a heavy tail,
some files are no images, some images end every actor, and one actor is killed on the way. What
objseek itself takes is measured as `objseek plan` measures it; the simulation has the same images.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.drawn_sleep import Sleep, build_drawn_recipe, write_images
from pipeline.jobs.ingest import ingest
from pipeline.planning import pace
from pipeline.planning.measure import measure
from pipeline.planning.prices import read_prices
from pipeline.planning.profile import Profile
from pipeline.planning.sample import take_sample
from pipeline.planning.simulation.job import Job
from pipeline.planning.simulation.scenario import Scenario
from pipeline.planning.simulation.simulate import Planned, build_pace
from pipeline.planning.simulation.totals import Totals
from pipeline.planning.simulation.work import KnownWork
from pipeline.planning.simulation.world import World
from pipeline.planning.workload import Layout, Workload
from pipeline.settings import Settings
from schemas.options import DecodeOptions, IndexOptions, RunnerOptions, StoreOptions

_WORKERS, _BATCH = 2, 8
_SEED = 5
_LOOK_S = 0.05
_REJECTED_SHARE, _KILLING = 0.01, 2


@dataclass(frozen=True, slots=True)
class Run:
    """What a run took; `chunks_again` were begun before, wholly or in part, as were `images`."""

    seconds: float
    done: int
    rejected: int
    given_up: int
    chunks: int
    chunks_again: int
    images_again: int


@dataclass(frozen=True, slots=True)
class Check:
    """Runs of the same images, simulated by what was measured before the real one and after it."""

    real: Run
    simulated: tuple[tuple[Profile, Run], ...]

    @property
    def simulated_s(self) -> float:
        """The mean of both."""
        return sum(run.seconds for _, run in self.simulated) / len(self.simulated)


def check(images: int, mean_s: float, spread: float, seconds: float) -> Check:
    """Measure for so many `seconds`, ingest, and simulate."""
    chosen = random.Random(_SEED)
    numbers = chosen.sample(range(images), round(images * _REJECTED_SHARE) + _KILLING)
    with tempfile.TemporaryDirectory(prefix="objseek-check-") as name:
        folder = Path(name)
        sleep = Sleep(
            images, mean_s, spread, _SEED, tuple(sorted(numbers[:_KILLING])),
            tuple(sorted(numbers[_KILLING:])), folder / "notes",
        )  # fmt: skip
        write_images(folder / "images", sleep)
        # Other work on the machine comes and goes.
        before = _measure(folder, sleep, seconds)
        real = _ingest(folder, sleep)
        after = _measure(folder, sleep, seconds)
    return Check(real, tuple((each, _simulate(sleep, each)) for each in (before, after)))


def _settings(index: Path) -> Settings:
    return Settings(
        index=IndexOptions(location=str(index)),
        runner=RunnerOptions(name="ray", workers=_WORKERS, batch_size=_BATCH),
    )


def _measure(folder: Path, sleep: Sleep, seconds: float) -> Profile:
    """As `objseek plan` does, with models that sleep as long but end on no image."""
    harmless = replace(sleep, killing=(), notes=folder / "measured")
    settings = _settings(folder / "none")
    sample = take_sample([str(folder / "images")], StoreOptions(), DecodeOptions(), 40, None)
    return measure(
        settings, sample, seconds, build=lambda settled: build_drawn_recipe(settled, harmless)
    )


def _ingest(folder: Path, sleep: Sleep) -> Run:
    settings = _settings(folder / "index")
    killer = threading.Thread(target=_kill_one, args=(sleep,), daemon=True)
    killer.start()
    started = time.perf_counter()
    summary = ingest([str(folder / "images")], settings, recipe=build_drawn_recipe(settings, sleep))
    seconds = time.perf_counter() - started
    begun = [[int(each) for each in line.split()] for line in sleep.notes.read_text().splitlines()]
    seen: set[int] = set()
    chunks_again = images_again = 0
    for numbers in begun:
        repeated = seen.intersection(numbers)
        chunks_again += bool(repeated)
        images_again += len(repeated)
        seen.update(numbers)
    counts = summary.counts
    return Run(
        seconds, counts.done, counts.rejected, counts.failed, len(begun), chunks_again, images_again
    )


def _kill_one(sleep: Sleep) -> None:
    """Kill the worker that was started last, once half of the images were begun."""
    while not (sleep.notes.exists() and _count_begun(sleep) >= sleep.images / 2):
        time.sleep(_LOOK_S)
    os.kill(int(sleep.pids.read_text().split()[-1]), signal.SIGKILL)


def _count_begun(sleep: Sleep) -> int:
    return len(sleep.notes.read_text().split())


def _simulate(sleep: Sleep, profile: Profile) -> Run:
    """The same images, with what else an image takes as it was measured."""
    workload = Workload(
        sleep.images, profile.image_bytes, profile.megapixels, profile.objects, from_s3=False
    )
    layout = Layout("ray", workers=_WORKERS, batch_size=_BATCH)
    beside_s = sum(pace.model_seconds(workload, profile)) - profile.seconds.segment
    work = KnownWork([each + beside_s for each in sleep.draw()], sleep.rejected, sleep.killing)
    world = World.make(None, None, _SEED)
    planned = Planned(workload, profile, layout, read_prices(None))
    job = Job(range(sleep.images), build_pace(planned, Scenario("as it is")), work, world)
    job.start()
    _plan_killing(job, world, sleep.images // 2)
    world.clock.run(lambda: job.ended_s is not None)
    return _describe(world.totals, job.ended_s or 0.0)


def _plan_killing(job: Job, world: World, begun: int) -> None:
    def look() -> None:
        if world.totals.done >= begun:
            job.pool.kill(job.pool.places[-1])
        else:
            world.clock.plan(_LOOK_S, look)

    look()


def _describe(totals: Totals, seconds: float) -> Run:
    done = totals.done - totals.rejected - totals.given_up
    return Run(
        seconds, done, totals.rejected, totals.given_up, totals.chunks, totals.chunks_again,
        totals.images_again,
    )  # fmt: skip
