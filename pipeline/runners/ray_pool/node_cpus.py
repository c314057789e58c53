"""Divides the CPUs of nodes between workers and reading, so that reading always has a place."""

from __future__ import annotations

READER_CPUS = 0.0001
"""What reading a chunk asks a cluster for, the least that Ray knows: no node is too full for it.

Not nothing, or a head without CPUs would read, too.
"""
_LEFT_CPUS = 0.001


def compute_worker_cpus(cpus_per_worker: float) -> float:
    """What a worker asks for: a thousandth of a CPU less than it has, which is left for readers.

    Nodes have whole CPUs. However many workers fill one, those that come later and those that take
    the place of others included, something is left of it.
    """
    return max(cpus_per_worker - _LEFT_CPUS, cpus_per_worker / 2)
