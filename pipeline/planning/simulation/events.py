"""Runs what is to happen in the order of its times: a clock that nobody waits for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class Clock:
    """`now` is seconds since the beginning. Not for threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._planned: list[tuple[float, int, Action]] = []

    def plan(self, delay_s: float, action: Action) -> None:
        """Have `action` done so much later; what is planned for one time keeps its order."""
        heapq.heappush(self._planned, (self.now + delay_s, next(self._order), action))

    def run(self, until: Callable[[], bool]) -> None:
        """Do what is planned, and what that plans, until all is done or `until` says so."""
        while self._planned and not until():
            self.now, _, action = heapq.heappop(self._planned)
            action()
