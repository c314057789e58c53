"""Retries what may succeed later: backoff with jitter, within a budget."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from schemas.errors import ObjseekError

_T = TypeVar("_T")
_listeners: list[Callable[[str], None]] = []
_log = logging.getLogger(__name__)
# What is over within this time, or raised as an error, needs no warning.
_WARN_AFTER_S = 3.0


def listen_to_retries(listener: Callable[[str], None]) -> None:
    """Call `listener`, in any thread, with the kind of everything that is tried again from now on.

    There are few kinds: store, credentials, index, request.
    """
    _listeners.append(listener)


def tell_retry(kind: str) -> None:
    """Tell the listeners of what was tried again by something else than a `Backoff`."""
    for listener in _listeners:
        listener(kind)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts: random, below a bound that doubles from `first_s` to `longest_s`.

    Full jitter (Brooker, Exponential Backoff And Jitter, 2015), so that clients which failed
    together do not retry together. No attempt begins later than `budget_s` after the first one
    failed. `only`: of the retryable errors, those that are retried. `kind` is what listeners get.
    """

    budget_s: float
    first_s: float = 0.2
    longest_s: float = 20.0
    only: type[ObjseekError] = ObjseekError
    kind: str = "request"

    def retry(self, action: Callable[[], _T], what: str) -> _T:
        """The result of `action`, repeated while it raises an ObjseekError that is retryable.

        `what` names it in the log. Raises the last error when the budget is spent.
        """
        failed_at: float | None = None
        bounds = self.list_bounds()
        while True:
            try:
                return action()
            except self.only as exc:
                pause, now = random.uniform(0, next(bounds)), time.monotonic()
                failed_at = now if failed_at is None else failed_at
                if not exc.retryable or now + pause > failed_at + self.budget_s:
                    raise
                level = logging.WARNING if now > failed_at + _WARN_AFTER_S else logging.INFO
                event = {"event": "retry", "what": self.kind, "reason": type(exc).__name__}
                _log.log(
                    level, "%s, trying again in %.1f s: %s", what, pause, exc,
                    extra={"fields": event},
                )  # fmt: skip
                tell_retry(self.kind)
            time.sleep(pause)

    def list_bounds(self) -> Iterator[float]:
        """What each pause is shorter than, in seconds; without end."""
        bound = self.first_s
        while True:
            yield bound
            bound = min(2 * bound, self.longest_s)
