"""Waiting for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], patience_s: float = 30.0) -> None:
    """Return when it is; fail if it does not become so."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {patience_s:g} s"
        time.sleep(0.02)
