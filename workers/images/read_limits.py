"""Limits what a process that reads images may hold, and how long it may take.

The time limit is kept by the interpreter's own watchdog thread (`faulthandler`), of which a process
has exactly one: it works while native code holds the interpreter's lock. So the state here is one
for the process, too: `limit_process` sets it around a read, `limit_decode` uses it around each
image if it is set. Nothing has to be handed through the readers in between.
"""

from __future__ import annotations

import faulthandler
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_watchdog: _Watchdog | None = None


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """`memory_bytes` above what the process holds; seconds for one image and for all of them."""

    memory_bytes: int
    decode_s: float
    read_s: float


@contextmanager
def limit_process(limits: ReadLimits) -> Iterator[None]:
    """Hold this process to `limits`, while it does nothing but read images.

    Taking more memory raises MemoryError, or aborts in code that does not check (without /proc
    memory is not limited). Taking longer ends the process, even in native code that never returns,
    with a traceback on stderr. Not for threads that run side by side.
    """
    global _watchdog
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held = _read_private_bytes()
    if held is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (held + limits.memory_bytes, hard))
    _watchdog = _Watchdog(limits)
    try:
        yield
    finally:
        _watchdog.stop()
        _watchdog = None
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def limit_decode() -> Iterator[None]:
    """Hold the decoding of one image to `decode_s`, where `limit_process` holds this process."""
    watchdog = _watchdog
    if watchdog is None:
        yield
        return
    watchdog.begin_image()
    try:
        yield
    finally:
        watchdog.end_image()


class _Watchdog:
    def __init__(self, limits: ReadLimits) -> None:
        self._decode_s = limits.decode_s
        self._deadline = time.monotonic() + limits.read_s
        self.end_image()

    def begin_image(self) -> None:
        self._restart(min(self._decode_s, self._compute_left_s()))

    def end_image(self) -> None:
        self._restart(self._compute_left_s())

    def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def _compute_left_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _restart(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True)


def _read_private_bytes() -> int | None:
    """What RLIMIT_DATA counts: private writable memory, so not Ray's shared one."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData")), None)
