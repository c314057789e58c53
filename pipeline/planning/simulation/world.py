"""Holds what all of a simulated run share: the clock, chance, store, index and counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.planning.simulation.events import Clock
from pipeline.planning.simulation.services import SharedIndex, Store
from pipeline.planning.simulation.totals import Totals


@dataclass(frozen=True, slots=True)
class World:
    """One for each simulated run."""

    clock: Clock
    store: Store
    index: SharedIndex
    totals: Totals
    random: np.random.Generator

    @classmethod
    def make(cls, gets_per_s: float | None, points_per_s: float | None, seed: int) -> World:
        """An empty one at its beginning; None: store and index keep up."""
        clock = Clock()
        return cls(
            clock,
            Store(clock, gets_per_s),
            SharedIndex(clock, points_per_s),
            Totals(),
            np.random.default_rng(seed),
        )
