"""Limits of a process that reads images: how much it may hold, and how long it may take."""

from __future__ import annotations

import faulthandler
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_watch: _Watch | None = None


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """`memory_bytes` above what the process holds; `decode_s` an image, `read_s` all in all."""

    memory_bytes: int
    decode_s: float
    read_s: float


@contextmanager
def confined(limits: ReadLimits) -> Iterator[None]:
    """Hold this process to `limits`: for one that does nothing else meanwhile.

    What would take more memory raises MemoryError, or aborts in code that does not look (not where
    there is no /proc). What takes longer ends the process, even in native code that never returns;
    where it stood goes to stderr.
    """
    global _watch
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held = _private_bytes()
    if held is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (held + limits.memory_bytes, hard))
    _watch = _Watch(limits)
    try:
        yield
    finally:
        _watch.end()
        _watch = None
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def decoding() -> Iterator[None]:
    """One image is decoded: hold that to its limit too, in a process that is confined."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.begin_image()
    try:
        yield
    finally:
        watch.end_image()


class _Watch:
    # The interpreter's watchdog thread needs no lock of the interpreter; there is one of it only.
    def __init__(self, limits: ReadLimits) -> None:
        self._decode_s = limits.decode_s
        self._deadline = time.monotonic() + limits.read_s
        self.end_image()

    def begin_image(self) -> None:
        self._within(min(self._decode_s, self._left()))

    def end_image(self) -> None:
        self._within(self._left())

    def end(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _within(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True)


def _private_bytes() -> int | None:
    """What RLIMIT_DATA counts: private writable memory, so not Ray's shared one."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData")), None)
