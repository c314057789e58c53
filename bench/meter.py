"""What a run costs beside its models: every process's memory, and when each part worked."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.runners.recipe import Recipe
from schemas.images import Decoded, ImageRef
from workers.protocols import ImageEmbedder, Segmenter

_SAMPLE_EVERY_S = 0.1  # or what a process takes for a moment is seen by chance
_LOOK_FOR_WORKERS_EVERY_S = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Diary:
    """A folder into which processes write what they did, a file each."""

    folder: Path

    @contextmanager
    def entry(self, part: str, images: int) -> Iterator[None]:
        """Note the wall's and the process's seconds of the block."""
        wall, cpu = time.time(), time.process_time()
        yield
        line = [part, images, wall, time.time(), time.process_time() - cpu]
        with (self.folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def entries(self, part: str) -> list[tuple[int, float, float, float]]:
        """Images, begin, end and CPU seconds of every block of a part, in order of their ends."""
        lines = (
            json.loads(line)
            for path in self.folder.glob("*.jsonl")
            for line in path.read_text().splitlines()
        )
        return sorted((tuple(rest) for name, *rest in lines if name == part), key=lambda e: e[2])


class _NotedSegmenter:
    def __init__(self, inner: Segmenter, diary: Diary) -> None:
        self._inner, self._diary = inner, diary
        self.name, self.fingerprint = inner.name, inner.fingerprint
        self.notes = inner.notes

    def segment(self, images: Sequence[Any]) -> Any:
        with self._diary.entry("segment", len(images)):
            return self._inner.segment(images)


def _segmenter(build: Callable[[], Segmenter], diary: Diary) -> Segmenter:
    return _NotedSegmenter(build(), diary)


def _embedder(build: Callable[[], ImageEmbedder], diary: Diary) -> ImageEmbedder:
    """An embedder whose model alone is noted: cutting and resizing crops is none."""
    embedder: Any = build()
    encode = embedder._model.encode_image

    def noted(batch: Any) -> Any:
        with diary.entry("embed", len(batch)):
            return encode(batch)

    embedder._model.encode_image = noted
    noted_embedder: ImageEmbedder = embedder
    return noted_embedder


def _read(
    read: Callable[[Sequence[ImageRef]], list[Decoded]], diary: Diary, refs: Sequence[ImageRef]
) -> list[Decoded]:
    with diary.entry("read", len(refs)):
        return read(refs)


def noted(recipe: Recipe, diary: Diary) -> Recipe:
    """The recipe, whose workers write what their models and reads took into the diary."""
    return replace(
        recipe,
        segmenter=partial(_segmenter, recipe.segmenter, diary),
        embedder=partial(_embedder, recipe.embedder, diary),
        reader=partial(_read, recipe.reader, diary),
    )


@dataclass
class Memory:
    """Resident bytes of this process and those it started: (seconds, bytes), by kind.

    Kinds: "driver", and what Ray calls its workers.
    """

    samples: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        workers: list[tuple[int, str]] = []
        looked = -math.inf
        while not self._ended.wait(_SAMPLE_EVERY_S):
            now = time.time()
            if now >= looked + _LOOK_FOR_WORKERS_EVERY_S:
                workers, looked = list(_ray_workers()), now
            largest = {"driver": _resident(os.getpid())}
            for pid, kind in workers:
                largest[kind] = max(largest.get(kind, 0), _resident(pid))
            for kind, resident in largest.items():
                self._note(kind, now, resident)

    def _note(self, kind: str, now: float, resident: int) -> None:
        # The most of each second: this process is one of those that are measured.
        samples = self.samples[kind]
        if samples and int(samples[-1][0]) == int(now):
            resident = max(resident, samples.pop()[1])
        samples.append((now, resident))

    def peak(self, kind: str, before: float, after: float = 0) -> int:
        """The most bytes of a kind between two times; 0 without a sample."""
        return max((b for t, b in self.samples[kind] if after <= t <= before), default=0)


def _resident(pid: int) -> int:
    """What a process holds alone: without what it shares, as Ray's store of objects is."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def _ray_workers() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if title.startswith("ray::"):
            yield int(path.parent.name), "actor" if "ModelActor" in title else "reader"
