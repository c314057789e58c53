"""Simulates machines, each with a job of its own, that are lost, reclaimed and replaced."""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.planning.simulation.job import Job
from pipeline.planning.simulation.scenario import Scenario
from pipeline.planning.simulation.work import wait_s
from pipeline.planning.simulation.world import World


class Machine:
    """A machine for a job until that has ended, and the next one where it is taken away.

    `resume_s` is how long a job that begins anew takes until it has work, after so many images.
    """

    def __init__(
        self, job: Job, scenario: Scenario, world: World, resume_s: Callable[[int], float]
    ) -> None:
        self._job, self._scenario, self._resume_s = job, scenario, resume_s
        self._clock, self._random = world.clock, world.random
        self._began_s = 0.0
        self._paid_s = 0.0

    def start(self, resume_s: float = 0.0) -> None:
        """Have the job go on here, and plan the end of this machine."""
        self._began_s = self._clock.now
        self._job.start(resume_s)
        lost_s = wait_s(self._scenario.losses, self._random)
        reclaimed_s = wait_s(self._scenario.reclaims, self._random)
        is_lost = lost_s <= reclaimed_s
        away_s = self._scenario.replaced_s if is_lost else self._scenario.reclaimed_s
        if (end_s := min(lost_s, reclaimed_s)) < math.inf:
            self._clock.plan(end_s, lambda: self._go(away_s))

    @property
    def paid_s(self) -> float:
        """Seconds for which a machine was there, until the job ended."""
        ended_s = self._clock.now if self._job.ended_s is None else self._job.ended_s
        return self._paid_s + max(0.0, ended_s - self._began_s)

    def _go(self, away_s: float) -> None:
        if self._job.ended_s is not None:
            return
        self._paid_s += self._clock.now - self._began_s
        self._began_s = math.inf
        self._job.stop()
        self._clock.plan(away_s, lambda: self.start(self._resume_s(self._job.written)))
