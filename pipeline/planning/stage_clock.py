"""Adds up the stages of a real ingest, and looks at what it writes to its index."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from pipeline.index_home import IndexHome
from pipeline.observing.observer import RunObserver
from pipeline.observing.work_reports import WorkReport
from schemas.images import ImageRef
from schemas.named_vectors import NO_NAMED, NamedDims
from schemas.records import EmbeddedImage
from schemas.thumbnails import THUMBNAIL
from workers.indexes.points import image_points
from workers.protocols import VectorIndex

_MOST_KEPT = 200


@dataclass
class StageClock(RunObserver):
    """Seconds of all workers by stage, and what was written meanwhile. Safe to use from threads.

    `payload_bytes` are of the payloads as JSON without `thumbnail_bytes`; the first
    images are `kept`. `counting_cpu_s` is what it took to count, which no ingest does.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    images: int = 0
    points: int = 0
    dim: int = 0
    kept: list[EmbeddedImage] = field(default_factory=list)
    payload_bytes: int = 0
    thumbnail_bytes: int = 0
    counting_cpu_s: float = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Forget all that was timed and counted."""
        with self._lock:
            self.seconds.clear()
            self.counting_cpu_s = 0
            self.kept.clear()
            self.images = self.points = self.payload_bytes = self.thumbnail_bytes = 0

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        with self._lock:
            for span in report.spans:
                self.seconds[span.stage] += span.seconds

    def count(self, images: Sequence[EmbeddedImage]) -> None:
        """Count images that were written, and measure their payloads."""
        now, started = datetime.now(UTC), time.thread_time()
        payloads = [point.payload for image in images for point in image_points(image, now)]
        thumbnails = sum(len(payload.get(THUMBNAIL, "")) for payload in payloads)
        whole = sum(len(json.dumps(payload)) for payload in payloads)
        with self._lock:
            self.images += len(images)
            self.kept += images[: _MOST_KEPT - len(self.kept)]
            self.points += len(payloads)
            self.thumbnail_bytes += thumbnails
            self.payload_bytes += whole - thumbnails
            self.counting_cpu_s += time.thread_time() - started


class _CountedIndex:
    """An index that tells what is written to it."""

    def __init__(self, inner: VectorIndex, clock: StageClock) -> None:
        self._inner, self._clock = inner, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def replace_images(self, images: Sequence[EmbeddedImage], *args: Any, **kwargs: Any) -> Any:
        self._clock.count(images)
        return self._inner.replace_images(images, *args, **kwargs)


@dataclass(frozen=True)
class CountedHome(IndexHome):
    """An index at its place, of which the clock gets what is written."""

    clock: StageClock = field(default_factory=StageClock)

    @contextmanager
    def points(
        self, *, create_for: int | None = None, named: NamedDims = NO_NAMED
    ) -> Iterator[VectorIndex]:
        """The index, open during the block; see `IndexHome.points`."""
        with super().points(create_for=create_for, named=named) as index:
            self.clock.dim = index.dim
            yield cast(VectorIndex, _CountedIndex(index, self.clock))
