"""Measures how fast workers get through images, and estimates how long the rest takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LATEST = 64
"""Chunks that the rate is measured by: what comes later may be larger, or the machine busier."""


@dataclass(frozen=True, slots=True)
class WorkedChunk:
    """`images` that one worker was at for `seconds`; `first`: they were its first ones."""

    images: int
    seconds: float
    first: bool = False


class Throughput:
    """The latest chunks of a run's workers, of which there are `workers` at present."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers
        self._chunks = deque[WorkedChunk](maxlen=_LATEST)
        self._lock = threading.Lock()

    def record(self, chunk: WorkedChunk) -> None:
        """A worker has come to the end of a chunk."""
        with self._lock:
            self._chunks.append(chunk)

    @property
    def rate(self) -> float | None:
        """Images a second of all workers together; None as long as nobody can tell."""
        return estimate_rate(self._latest(), self.workers)

    def estimate_seconds_left(self, images: int) -> float | None:
        """How long so many images take that no worker is done with; None if nobody can tell."""
        return estimate_seconds_left(images, self._latest(), self.workers)

    def _latest(self) -> tuple[WorkedChunk, ...]:
        with self._lock:
            return tuple(self._chunks)


def estimate_seconds_left(images: int, chunks: Sequence[WorkedChunk], workers: int) -> float | None:
    """Seconds from the end of the last of `chunks` until so many more images are done.

    Whenever one worker ends a chunk, the others are on average half through theirs. None if nobody
    can tell.
    """
    rate = estimate_rate(chunks, workers)
    if rate is None:
        return None
    usual_images = sum(chunk.images for chunk in chunks) / len(chunks)
    half_done = min((workers - 1) / 2 * usual_images, images / 2)
    return (images - half_done) / rate


def estimate_rate(chunks: Iterable[WorkedChunk], workers: int) -> float | None:
    """Images a second of so many workers, by how long each was at its chunks; None if unknown.

    By the clock, several workers that end together would look like a burst, and the time in which
    models and kernels are made ready like a slow image. A worker's first chunk has that in it as
    well, and says nothing.
    """
    telling = [chunk for chunk in chunks if not chunk.first]
    seconds = sum(chunk.seconds for chunk in telling)
    if seconds <= 0 or workers < 1:
        return None
    return workers * sum(chunk.images for chunk in telling) / seconds
