"""Waits for calls to Ray, and hands each that has ended to whoever made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ray

from schemas.work import Worked

Handler = Callable[[Any], list[Worked]]
"""Takes the reference of a call that has ended; the results of images that came through by it."""


class PendingCalls:
    """Calls under way, by their references."""

    def __init__(self) -> None:
        self._handlers: dict[Any, Handler] = {}

    def add(self, ref: Any, handler: Handler) -> None:
        """Have `handler` called when the call of `ref` has ended, however it ended."""
        self._handlers[ref] = handler

    def wait(self, timeout_s: float) -> Iterator[list[Worked]]:
        """Wait for the next call to end; what its handler returns, nothing after `timeout_s`."""
        ended, _ = ray.wait(list(self._handlers), num_returns=1, timeout=timeout_s)
        for ref in ended:
            yield self._handlers.pop(ref)(ref)
