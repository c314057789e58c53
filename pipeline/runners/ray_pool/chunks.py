"""Defines chunks: images that travel together on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import Any

from pipeline.observing.work_reports import WorkReport
from schemas.added import AddedObject
from schemas.images import ImageRef
from schemas.masks import KnownObjects
from schemas.work import Source, WorkItem

MOST_BYTES = 256 << 20
"""Of the files of a chunk: a reader has them in memory, and their pixels."""


@dataclass(eq=False)
class Chunk:
    """Images that travel together.

    `suspect`: it may have killed a model actor. `deaths`, `reads` and `losses` count how often it
    has killed a process while alone with it, been read, and gone with a node. `data` refers to the
    pixels once they are read, on the node `read_on`, `work` to the results once an actor has the
    chunk; `report` is of the last reading.
    """

    items: list[WorkItem]
    suspect: bool = False
    deaths: int = 0
    reads: int = 0
    losses: int = 0
    data: Any = None
    read_on: str = ""
    work: Any = None
    report: WorkReport = field(default_factory=WorkReport)

    @property
    def refs(self) -> list[ImageRef]:
        return [item.ref for item in self.items]

    @property
    def sources(self) -> list[Source]:
        return [item.source for item in self.items]

    @property
    def frames(self) -> int:
        """How many images it is as much work as."""
        return sum(item.frames for item in self.items)

    @property
    def known(self) -> list[KnownObjects]:
        return [item.known for item in self.items]

    @property
    def added(self) -> list[tuple[AddedObject, ...]]:
        return [item.added for item in self.items]

    def halve(self) -> list[Chunk]:
        """Two chunks that keep nothing but the images and the suspicion."""
        middle = len(self.items) // 2
        return [Chunk(half, self.suspect) for half in (self.items[:middle], self.items[middle:])]


def cut_first_chunk(items: Sequence[WorkItem], most_images: int) -> Chunk:
    """The first of `items` that may travel together, at least one; of videos each is alone."""
    images = list(takewhile(lambda item: item.video is None, items[:most_images]))
    sizes = accumulate(item.ref.size_bytes for item in images)
    count = sum(1 for _ in takewhile(lambda size: size <= MOST_BYTES, sizes))
    return Chunk(list(items[: max(1, count)]))
