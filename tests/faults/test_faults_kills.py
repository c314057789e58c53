"""SIGKILL by the hundred: drivers, which own the index, and Ray's workers, at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import fakes
from support.paths import ROOT
from support.processes import kill, kill_a_worker, pids
from support.waiting import PATIENCE_S

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.settings import Settings
from workers.stores.file_version import stamp_of

pytestmark = pytest.mark.long

SEED = 11
SCRIPT = ROOT / "tests" / "support" / "fakes.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
# Results are written in small lots, so that there is a commit to be killed in at any moment.
WRITTEN_AT_ONCE = "8"


@pytest.mark.parametrize(
    ("images", "drivers", "workers"),
    [(60, 4, 2), pytest.param(2000, 200, 100, marks=pytest.mark.faults)],
    ids=["short", "whole"],
)
def test_killed_processes_lose_and_double_nothing(
    images: int, drivers: int, workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, chance = tmp_path / "images", random.Random(SEED)
    fakes.write_images(source, images)
    killed = fakes.settings(tmp_path / "killed")
    work = Work(source, killed, chance)
    killed_drivers = killed_workers = runs = 0
    while killed_drivers < drivers:
        assert runs < 20 * drivers
        work.make_some_if_none_is_left()
        with running(source, killed, "local", delay_s=0.05) as job:
            killed_drivers += killed_after(job, chance.uniform(0.5, 4.0))
        runs += 1
    while killed_workers < workers:
        assert runs < 20 * (drivers + workers)
        work.make_some_if_none_is_left()
        with running(source, killed, "ray", delay_s=0.05) as job:
            while killed_workers < workers and job.poll() is None:
                time.sleep(chance.uniform(0.2, 1.5))
                killed_workers += kill_a_worker(job.pid, chance)
            # In the middle of everything, more often than not.
            killed_drivers += killed_after(job, chance.uniform(0.0, 2.0))
        runs += 1
    with running(source, killed, "local", delay_s=0) as job:
        assert job.wait(PATIENCE_S) == 0
    clean = fakes.settings(tmp_path / "clean")
    assert ingest([str(source)], clean, recipe=fakes.recipe(clean)).counts.done == images
    there, expected = fakes.points(killed), fakes.points(clean)
    missing, extra = expected.keys() - there.keys(), there.keys() - expected.keys()
    differ = sum(
        there[identity] != expected[identity] for identity in there.keys() & expected.keys()
    )
    with capsys.disabled():
        print(
            f"\n{killed_drivers} drivers and {killed_workers} workers killed in {runs} runs over "
            f"{images} images, {work.changed} of them changed meanwhile, seed {SEED}: "
            f"{len(missing)} of {len(expected)} points missing, {len(extra)} extra, {differ} differ"
        )
    assert (missing, extra, differ) == (set(), set(), 0)
    assert verify(killed, [str(source)]).findings == []


class Work:
    """Sees to it that there is something to be killed at: images change when all are done."""

    def __init__(self, source: Path, settings: Settings, chance: random.Random) -> None:
        self._paths = sorted(source.iterdir())
        self._settings = settings
        self._chance = chance
        self.changed = 0

    def make_some_if_none_is_left(self) -> None:
        done = {name: row.stamp for name, row in fakes.rows(self._settings).items()}
        left = sum(done.get(path.name) != stamp_of(path.stat()) for path in self._paths)
        if left <= len(self._paths) // 10:
            for number in self._chance.sample(range(len(self._paths)), len(self._paths) // 2):
                fakes.write_image(self._paths[number], number + 1)
                self.changed += 1


@contextmanager
def running(
    source: Path, settings: Settings, runner: str, *, delay_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest in a session of its own, of which nothing is left afterwards."""
    arguments = [str(source), settings.index.location, runner, str(delay_s), "", WRITTEN_AT_ONCE]
    job = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield job
    finally:
        for pid in members(job):
            kill(pid)
        job.wait()


def members(job: subprocess.Popen[bytes]) -> list[int]:
    """Processes of the job's session, which Ray's workers stay in."""
    found = []
    for pid in pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == job.pid:
                found.append(pid)
    return found


def killed_after(job: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill the job, unless it has ended before."""
    with suppress(subprocess.TimeoutExpired):
        job.wait(seconds)
    if job.poll() is not None:
        return False
    job.kill()
    job.wait()
    return True
