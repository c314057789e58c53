"""For how much of their time model actors wait, by their own clocks, while there are images.

An actor waits from the end of its work on a chunk until the pixels of the next are its own: results
leave it, the next call comes, and pixels are copied out of shared memory. At first nothing has been
read, and chunks are small until it is known how long an image takes: counted is from when each
worker has had a full one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Console

from pipeline.observing.observer import RunObserver
from pipeline.observing.work_reports import WorkReport
from schemas.images import ImageRef

IDLE_SLEEPS = {"image_s": 0.25, "read_s": 0.125, "batch_size": 8}
_WIDTHS = {"small": 128, "4 MP": 2304}
_GATE = 0.05


class ActorClock(RunObserver):
    """Adds up what all actors tell of their work and their waits, once each has its stride.

    `full` images are a whole chunk, of which each of `workers` has one first.
    """

    def __init__(self, workers: int, full: int) -> None:
        self._workers, self._full = workers, full
        self._full_chunks = 0
        self._waited_s = self._worked_s = 0.0

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        if self._full_chunks >= self._workers:
            self._waited_s += report.waited_s
            self._worked_s += sum(span.seconds for span in report.spans if span.stage != "read")
        self._full_chunks += len(refs) == self._full

    @property
    def idle_share(self) -> float:
        """Of the time of all actors; not a number where none was counted."""
        if not self._worked_s:
            return math.nan
        return self._waited_s / (self._waited_s + self._worked_s)


def compare_idle(console: Console, measure: Callable[[int], float]) -> dict[str, float]:
    """The idle share of small and of large images, which `measure` gives of images of a width.

    Raises SystemExit if one exceeds the gate.
    """
    shares = {name: measure(width) for name, width in _WIDTHS.items()}
    for name, share in shares.items():
        console.print(f"{name} images: actors idle for {share:.3f} of their time")
    if not all(share <= _GATE for share in shares.values()):
        raise SystemExit(f"expected at most {_GATE}")
    return shares
