"""Decides how many threads torch computes with: by the CPUs this process may use, where it pays.

torch takes a thread for every CPU that the process is bound to, and knows nothing of the quota of a
container. Threads that have no CPU keep all others waiting at the end of every product.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def count_usable_cpus(cgroups: Path = _CGROUPS, own_cgroup: Path = _OWN_CGROUP) -> int:
    """The CPUs that this process may use, at least 1: by its affinity, and by its cgroups' quotas.

    A quota of 1.5 CPUs is 1. `cgroups` is where cgroups are mounted, `own_cgroup` names those of
    this process (see Linux's cgroups(7)).
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([bound or 1, *map(math.floor, _read_quotas(cgroups, own_cgroup))]))


@contextmanager
def use_single_thread() -> Iterator[None]:
    """One thread during the block: in many small products more would only wait."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def limit_threads(most: int | None = None) -> None:
    """Have torch use at most so many threads, by default as many as there are usable CPUs."""
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), most or count_usable_cpus()))


def _read_quotas(cgroups: Path, own_cgroup: Path) -> Iterator[float]:
    """The CPUs that each cgroup of this process, and each above it, allows."""
    try:
        lines = own_cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for folder in _folders_above(cgroups, path):
                yield from _parse_quota(folder / "cpu.max")
        elif "cpu" in controllers.split(","):
            for folder in _folders_above(cgroups / "cpu", path):
                yield from _parse_quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _folders_above(root: Path, path: str) -> Iterator[Path]:
    # In a container a cgroup may be mounted at the root while its path is the host's.
    yield root
    folder = root
    for part in PurePosixPath(path.strip()).parts[1:]:
        folder = folder / part
        yield folder


def _parse_quota(*files: Path) -> Iterator[float]:
    """Microseconds of CPU time by microseconds of a period; nothing where there is no limit."""
    try:
        numbers = " ".join(file.read_text(encoding="ascii") for file in files).split()
        quota, period = map(int, numbers)
    except (OSError, ValueError):  # not there, or "max"
        return
    if quota > 0 and period > 0:
        yield quota / period
