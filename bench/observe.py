"""What metrics cost an ingest: the same images with and without them, in turns.

    python -m bench.observe --images 2000

Models are stubs, so that an image costs as little as it can: a mask of its left half, vectors of
64 numbers, no labels and thumbnails. Decoding, the embedded index and the manifest are real, with
the local runner and a worker. The peer is the same ingest with an observer that ignores what it is
told. CPU seconds of the process are compared, as medians of the rounds; besides, what the observer
takes by itself is timed, which other processes on the machine disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import LISTED_AT_ONCE, ignore_skipped, list_chunks
from pipeline.ingestion.session import IngestSession
from pipeline.observing.ingest_metrics import IngestMetrics
from pipeline.observing.observer import RunObserver
from pipeline.progress import Progress
from pipeline.runners.recipe import build_always, build_no_labeller, build_recipe
from pipeline.settings import Settings
from schemas.images import UInt8Image
from schemas.masks import CocoRle, ObjectMask
from schemas.options import IndexOptions, RunnerOptions, SegmenterOptions
from schemas.records import Float32Matrix
from workers.protocols import UInt8Crops

_HEIGHT, _WIDTH = 48, 64


class _HalfSegmenter:
    name, fingerprint, notes = "half", "half", ()

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        mask = np.zeros((_HEIGHT, _WIDTH), bool)
        mask[:, : _WIDTH // 2] = True
        box, area = (0, 0, _WIDTH // 2, _HEIGHT), int(mask.sum())
        found = ObjectMask(CocoRle.from_mask(mask), box, area, 0.9, 0.9, (1.0, 1.0))
        return [[found] for _ in images]


class _FlatEmbedder:
    name, fingerprint, dim = "flat", "flat", 64

    def embed_images(self, crops: UInt8Crops) -> Float32Matrix:
        return np.full((len(crops), self.dim), self.dim**-0.5, np.float32)


class _TimedMetrics(RunObserver):
    """Metrics, and the CPU seconds of the threads that tell them."""

    def __init__(self) -> None:
        self._inner = IngestMetrics()
        self.cpu_s = 0.0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("note_"):
            return super().__getattribute__(name)
        return partial(self._time, getattr(self._inner, name))

    def _time(self, note: Callable[..., None], *args: object, **kwargs: object) -> None:
        began = time.thread_time()
        note(*args, **kwargs)
        self.cpu_s += time.thread_time() - began


@dataclass(frozen=True, slots=True)
class _Figures:
    """CPU seconds: medians of a run without and with metrics, and of the metrics alone."""

    without_s: float
    with_s: float
    alone_s: float

    def describe(self, images: int) -> str:
        ratio, share = self.with_s / self.without_s, self.alone_s / self.without_s
        return (
            f"{images:,} images: {self.without_s:.2f} s of CPU without metrics, "
            f"{self.with_s:.2f} s with them, {ratio:.4f} times; the metrics alone "
            f"{1e6 * self.alone_s / images:.1f} µs an image, {share:.2%}"
        )


def _write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.png", compress_level=1)


def _time_ingest(images: Path, observer: RunObserver) -> float:
    """CPU seconds of this process for one ingest into a new index."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            segmenter=SegmenterOptions(name="sam_demo"),
            index=IndexOptions(location=f"{folder}/index", thumbnail_px=0),
            runner=RunnerOptions(name="local"),
        )
        recipe = replace(
            build_recipe(settings),
            segmenter=_HalfSegmenter,
            embedder=_FlatEmbedder,
            labeller=build_no_labeller,
        )
        listing = list_chunks([str(images)], settings.store, LISTED_AT_ONCE, None, ignore_skipped)
        with IngestSession(settings, build_always(recipe), observer=observer) as session:
            began = time.process_time()
            session.run(listing, IndexHome.current(settings), Progress())
            return time.process_time() - began


def measure(images: int, rounds: int) -> _Figures:
    """The figures of so many images, after one round that counts for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "images")
        _write_images(source, images)
        _time_ingest(source, RunObserver())
        without, with_metrics, alone = [], [], []
        for _ in range(rounds):
            without.append(_time_ingest(source, RunObserver()))
            with_metrics.append(_time_ingest(source, IngestMetrics()))
            timed = _TimedMetrics()
            _time_ingest(source, timed)
            alone.append(timed.cpu_s)
    median = statistics.median
    return _Figures(median(without), median(with_metrics), median(alone))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(measure(options.images, options.rounds).describe(options.images))


if __name__ == "__main__":
    main()
