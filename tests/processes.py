"""Processes of Ray, found and killed."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path


def kill(pid: int) -> bool:
    """SIGKILL, unless the process has gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def kill_a_worker(driver: int, chance: random.Random) -> bool:
    """Kill a reader or a model actor of a driver's own Ray that is at work, if there is one."""
    parents = {pid: parent(pid) for pid in pids()}
    workers = [
        pid
        for pid, raylet in parents.items()
        if parents.get(raylet) == driver and command(pid).startswith(("ray::read", "ray::Model"))
    ]
    return bool(workers) and kill(chance.choice(workers))


def pids() -> list[int]:
    """All processes of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def parent(pid: int) -> int:
    """The process that has started it; 0 for one that has gone."""
    with suppress(OSError):
        # The name in brackets may have spaces.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def command(pid: int) -> str:
    """What it was called with, or calls itself."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""
