"""Part 4: an ingest of drawn scenes in this process: its rate, and how busy the device was."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.device.figures import Figure, Note, Row
from pipeline.demo.bucket import write_bucket
from pipeline.jobs.ingest import ingest
from pipeline.runners.recipe import Recipe, build_recipe
from pipeline.settings import Settings

PART = "ingest"
_SAMPLE_EVERY_S = 0.05
_LEAST_BUSY = 0.85


def measure(device: str, *, quick: bool) -> Iterator[Row]:
    """Images and objects a second, seconds of each stage, the device's busy share."""
    scenes = 2 if quick else 64
    changes = {"points_per_side": 4, "crop_n_layers": 0} if quick else {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_bucket(work / "scenes", scenes, seed=11)
        settings = Settings.model_validate(
            {
                "index": {"location": str(work / "index")},
                "runner": {"name": "local"},
                "segmenter": {"name": "sam_demo", "device": device, **changes},
                "embedder": {"name": "clip_demo", "device": device},
            }
        )
        spent: dict[str, float] = defaultdict(float)
        busy = _BusyMeter(device)
        recipe = _note_stages(build_recipe(settings), spent, busy)
        with busy.watch():
            summary = ingest([str(work / "scenes")], settings, recipe=recipe)
    counts = summary.counts
    if counts.done != scenes:
        yield Note(PART, "images", f"{counts.done} of {scenes} done", failed=True)
    yield Figure(PART, f"sam_demo and clip_demo, {scenes} scenes", summary.images_per_s, "/s")
    yield Figure(PART, "objects", counts.objects / scenes * summary.images_per_s, "/s")
    for stage, seconds in spent.items():
        yield Figure(PART, f"{stage}, of each image", seconds / scenes * 1000, "ms")
    if busy.share is None:
        yield Note(PART, "busy share", "only a GPU tells it")
    else:
        yield Figure(PART, "busy share while images were worked on", busy.share, "", _LEAST_BUSY)


def _note_stages(recipe: Recipe, spent: dict[str, float], busy: _BusyMeter) -> Recipe:
    """The recipe whose workers add up their seconds by stage.

    Both models hand their results to the CPU, so that what they began has ended by then.
    """

    def timed(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            busy.begin()
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent[stage] += time.perf_counter() - started

        return run

    def build(make: Callable[[], Any], method: str, stage: str) -> Callable[[], Any]:
        def build_timed() -> Any:
            worker = make()
            setattr(worker, method, timed(stage, getattr(worker, method)))
            return worker

        return build_timed

    return replace(
        recipe,
        reader=timed("reading", recipe.reader),
        segmenter=build(recipe.segmenter, "segment", "segmenting"),
        embedder=build(recipe.embedder, "embed_images", "embedding"),
    )


class _BusyMeter:
    """The share of time in which a GPU ran a kernel, by NVML, from the first image's reading on."""

    def __init__(self, device: str) -> None:
        self._handle: Any = None
        self._samples: list[float] = []
        self._begun, self._ended = threading.Event(), threading.Event()
        if device == "cuda":
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def begin(self) -> None:
        self._begun.set()

    @property
    def share(self) -> float | None:
        samples: Sequence[float] = self._samples
        return sum(samples) / len(samples) if samples else None

    @contextmanager
    def watch(self) -> Iterator[None]:
        thread = threading.Thread(target=self._sample, daemon=True)
        if self._handle is not None:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            if self._handle is not None:
                thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_EVERY_S):
            if self._begun.is_set():
                used = self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
                self._samples.append(used / 100)
