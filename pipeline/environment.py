"""Sets environment variables of this process: temporarily, or where libraries read them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_LANCE = {
    # It reads as many partitions of an index at once as it has threads, by default one a core: of a
    # bucket that answers in 30 ms two take 2.0 s where 32 take 0.95.
    "LANCE_CPU_THREADS": "32",
    "LANCE_LOG": "error",  # a new table is no reason to warn
}


def prepare_lance() -> None:
    """Set what Lance reads when its first table is opened, unless the user has set it."""
    for name, value in _LANCE.items():
        os.environ.setdefault(name, value)


@contextmanager
def set_environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set these variables until the block ends, also for processes started in it; None unsets."""
    before = {name: os.environ.get(name) for name in values}
    _apply(values)
    try:
        yield
    finally:
        _apply(before)


def _apply(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
