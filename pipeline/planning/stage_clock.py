"""Times the stages of a real ingest, by standing between it and its reader, models and index."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from pipeline.index_home import IndexHome
from pipeline.runners.recipe import Recipe
from schemas.images import Decoded, ImageRef
from schemas.records import EmbeddedImage
from schemas.thumbnails import THUMBNAIL
from workers.indexes.points import image_points
from workers.protocols import ImageEmbedder, Segmenter, VectorIndex

_MOST_KEPT = 200


@dataclass
class StageClock:
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

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the block for a stage."""
        started = time.perf_counter()
        yield
        with self._lock:
            self.seconds[stage] += time.perf_counter() - started

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

    def watch_recipe(self, recipe: Recipe) -> Recipe:
        """The same workers, whose reading, segmenting and embedding counts here."""
        return replace(
            recipe,
            reader=partial(self._read, recipe.reader),
            segmenter=partial(self._build_segmenter, recipe.segmenter),
            embedder=partial(self._build_embedder, recipe.embedder),
        )

    def _read(
        self, read: Callable[[Sequence[ImageRef]], list[Decoded]], refs: Sequence[ImageRef]
    ) -> list[Decoded]:
        with self.of("read"):
            return read(refs)

    def _build_segmenter(self, build: Callable[[], Segmenter]) -> Segmenter:
        return cast(Segmenter, _Timed(build(), self, "segment", ("segment", "segment_with_boxes")))

    def _build_embedder(self, build: Callable[[], ImageEmbedder]) -> ImageEmbedder:
        return cast(ImageEmbedder, _Timed(build(), self, "embed", ("embed_images",)))


class _Timed:
    """Stands for what it wraps, and counts the time of some of its methods."""

    def __init__(self, inner: object, clock: StageClock, stage: str, timed: tuple[str, ...]):
        self._inner, self._clock, self._stage, self._names = inner, clock, stage, timed

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in self._names:
            return attribute

        def run(*args: Any, **kwargs: Any) -> Any:
            with self._clock.of(self._stage):
                return attribute(*args, **kwargs)

        return run


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
    def points(self, *, create_for: int | None = None) -> Iterator[VectorIndex]:
        """The index, open during the block; see `IndexHome.points`."""
        with super().points(create_for=create_for) as index:
            self.clock.dim = index.dim
            yield cast(VectorIndex, _CountedIndex(index, self.clock))
