"""Simulates what all jobs share: an object store that refuses what is too much, and an index."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.planning.simulation.events import Clock


@dataclass
class Store:
    """Answers `gets_per_s` requests a second, None: all, and refuses the others (503 SlowDown)."""

    clock: Clock
    gets_per_s: float | None
    requests: int = 0
    refused: int = 0
    _left: float = 0.0
    _at_s: float = 0.0

    def admit(self, requests: int) -> int:
        """How many of them are answered now."""
        self.requests += requests
        if self.gets_per_s is None:
            return requests
        earned = (self.clock.now - self._at_s) * self.gets_per_s
        self._left, self._at_s = min(self._left + earned, self.gets_per_s), self.clock.now
        admitted = min(requests, int(self._left))
        self._left -= admitted
        self.refused += requests - admitted
        return admitted


@dataclass
class SharedIndex:
    """Takes `points_per_s` of all who write, one after the other; None: it keeps up."""

    clock: Clock
    points_per_s: float | None
    _free_at_s: float = 0.0

    def write_s(self, points: float, alone_s: float) -> float:
        """How long a writer waits for points that it writes in `alone_s` while nobody else does."""
        if self.points_per_s is None:
            return alone_s
        taken_s = points / self.points_per_s
        self._free_at_s = max(self.clock.now, self._free_at_s) + taken_s
        return max(alone_s, self._free_at_s - self.clock.now)
