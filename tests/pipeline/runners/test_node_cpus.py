"""Whatever nodes are like, and however many workers fill one, reading has a place there."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pipeline.runners.ray_pool.node_cpus import READER_CPUS, compute_worker_cpus

UNIT = Fraction(1, 10_000)
"""What Ray counts resources in."""


def count_units(cpus: float) -> int:
    return int(Fraction(cpus) / UNIT + Fraction(1, 1000))


@pytest.mark.parametrize("cpus_per_worker", [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 16])
def test_a_full_node_has_room_for_a_reader(cpus_per_worker: float) -> None:
    asked, reader = count_units(compute_worker_cpus(cpus_per_worker)), count_units(READER_CPUS)
    for cpus in range(1, 97):
        workers, left = divmod(count_units(cpus), asked)
        assert left >= reader
        assert workers >= int(cpus / cpus_per_worker)


def test_a_worker_asks_for_nearly_what_it_has() -> None:
    assert compute_worker_cpus(1) == 0.999
    assert compute_worker_cpus(0.001) == 0.0005
    assert READER_CPUS > 0
