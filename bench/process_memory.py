"""Measures how much memory a run holds: its own process and those on Ray, by what they do."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE_EVERY_S = 0.1  # or what a process takes for a moment is seen by chance
_LOOK_FOR_WORKERS_EVERY_S = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KINDS = {"ModelActor": "actor", "read_chunk": "reader"}
"""By what stands in a process's title, as Ray names it after what it runs."""


@dataclass
class Memory:
    """The most bytes a process of a kind held alone in each second: "driver", "actor", "reader".

    Of processes that this one did not start nothing is seen: others may run Ray on this machine.
    What a process held before Ray first named it counts for what it became.
    """

    _samples: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    _unnamed: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    _kinds: dict[int, str] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the processes while the block runs."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def peak(self, kind: str, before: float, after: float = 0) -> int:
        """The most bytes of a kind between two times; 0 without a sample."""
        seconds = self._samples[kind].items()
        return max((held for at, held in seconds if int(after) <= at <= before), default=0)

    def record(self, pid: int, title: str, at: float, held: int) -> None:
        """Take in what a process held at a time, in seconds, and what it was called then."""
        kind = next((kind for part, kind in _KINDS.items() if part in title), None)
        if kind is not None:
            self._kinds[pid] = kind
            for second, earlier in self._unnamed.pop(pid, {}).items():
                _raise_to(self._samples[kind], second, earlier)
        known = self._kinds.get(pid)
        _raise_to(self._unnamed[pid] if known is None else self._samples[known], int(at), held)

    def _watch(self) -> None:
        own = os.getpid()
        self._kinds[own] = "driver"
        workers: list[int] = []
        looked = -math.inf
        ended = False
        while not ended:
            now = time.time()
            if now >= looked + _LOOK_FOR_WORKERS_EVERY_S:
                workers, looked = list_started(own), now
            for pid in (own, *workers):
                title = "" if pid == own else _read_title(pid)
                self.record(pid, title, now, _measure_resident(pid))
            ended = self._ended.wait(_SAMPLE_EVERY_S)


def list_started(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before it, in brackets, may have any character in it.
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        children[parent].append(int(path.parent.name))
    found = list(children[pid])
    for each in found:
        found += children[each]
    return found


def _raise_to(seconds: dict[int, int], second: int, held: int) -> None:
    seconds[second] = max(held, seconds.get(second, 0))


def _read_title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _measure_resident(pid: int) -> int:
    """What a process holds without what it shares, as Ray's store of objects is; 0: it is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES
