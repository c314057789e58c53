"""Follows the progress of a background job, and cancels the job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pipeline.progress import Progress

_WRITTEN_EVERY_S = 10.0


class JobCancelled(BaseException):
    """Raised in a job's thread where Ctrl-C would be, so that the job ends as cleanly.

    As with KeyboardInterrupt, no `except Exception` of the job may catch it.
    """


class JobProgress(Progress):
    """Keeps the latest note, calls `on_written` now and then, and ends a job that is cancelled."""

    def __init__(self, on_written: Callable[[], None]) -> None:
        super().__init__()
        self.latest_note = ""
        self.cancelled = False
        self._on_written = on_written
        self._reported_at = -math.inf

    def note(self, text: str) -> None:
        self.latest_note = text
        self._check_cancelled()

    def advance(self) -> None:
        self.latest_note = ""
        now = time.monotonic()
        # The first objects of an empty index are to be seen as soon as they are written.
        if self.counts.handled and now - self._reported_at > _WRITTEN_EVERY_S:
            self._reported_at = now
            self._on_written()
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self.cancelled:
            raise JobCancelled
