"""What is in flight on Ray: chunks of images, and the places for actors that work on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import Any

from schemas.errors import BadImageError, WorkerDiedError, one_line
from schemas.images import Failure, ImageRef, Stage

_MOST_BYTES = 256 << 20
"""Of the files of a chunk: a reader has them in memory, and their pixels."""


@dataclass(eq=False)
class Chunk:
    """Images that travel together.

    `data` refers to their pixels once they are read, `work` to their results once an actor has it.
    """

    refs: list[ImageRef]
    suspect: bool = False
    deaths: int = 0
    reads: int = 0
    data: Any = None
    work: Any = None

    def halves(self) -> list[Chunk]:
        """Two chunks that have nothing but the images and the suspicion."""
        middle = len(self.refs) // 2
        return [Chunk(part, self.suspect) for part in (self.refs[:middle], self.refs[middle:])]


def first_chunk(refs: Sequence[ImageRef], most_images: int) -> Chunk:
    """The first of `refs` that may travel together: one at least."""
    sizes = accumulate(ref.size_bytes for ref in refs[:most_images])
    fit = sum(1 for _ in takewhile(lambda size: size <= _MOST_BYTES, sizes))
    return Chunk(list(refs[: max(1, fit)]))


@dataclass(eq=False)
class Slot:
    """A place for a model actor. `reserved`: for suspects only, as long as there are any.

    `since`: when work on the first of its chunks began, by `time.monotonic`; `hung_s`: the seconds
    after which the actor was killed for it.
    """

    actor: Any
    ready: bool = False
    reserved: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    since: float = 0.0
    hung_s: float | None = None


def given_up(ref: ImageRef, stage: Stage, error: Exception, memory_mb: int) -> Failure:
    """The failure of an image that no process survives; `memory_mb` is what a reader may hold."""
    if isinstance(error, MemoryError) and stage is Stage.READ:
        told = f"expected an image to take at most {memory_mb} MiB, got one that takes more"
        return Failure.from_error(ref, stage, BadImageError(f"{told} ({ref.uri})"))
    reason = f"{type(error).__name__}: {one_line(error)}"
    died = WorkerDiedError(f"the worker process died twice of {ref.uri} alone ({reason:.300})")
    return Failure.from_error(ref, stage, died)
