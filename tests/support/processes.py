"""Processes of Ray, found and killed."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

_LISTENS = "0A"  # the kernel's number of the state


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


def descendants(pid: int) -> list[int]:
    """What a process has started, and what those have."""
    children: dict[int, list[int]] = {}
    for child in pids():
        children.setdefault(parent(child), []).append(child)
    found = list(children.get(pid, []))
    for descendant in found:  # which grows meanwhile
        found += children.get(descendant, [])
    return found


def listening(pid: int) -> set[str]:
    """The addresses at which a process waits for connections."""
    sockets = set()
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(os.readlink(handle))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == _LISTENS and f"socket:[{rest[5]}]" in sockets:
                # Words of 32 bits, each in the order of this machine.
                words = bytes.fromhex(local.partition(":")[0])
                raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                address = ip_address(raw)
                found.add(str(getattr(address, "ipv4_mapped", None) or address))
    return found


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
