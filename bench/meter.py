"""What a run costs beside its models: when each part worked, and for how long."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.runners.recipe import Recipe
from schemas.images import Decoded, ImageRef
from workers.protocols import ImageEmbedder
from workers.segmenter_protocols import Segmenter


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
