"""Waits for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 600.0
"""Ends the wait for what never comes. No test may depend on it: it is far beyond slow machines."""


def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not true within {PATIENCE_S:g} s"
        time.sleep(0.02)
