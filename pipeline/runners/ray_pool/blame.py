"""Decides which image is to blame when a process dies.

A read task takes only its own chunk with it, which is halved until the image that kills is alone. A
model actor takes up to two chunks with it. Each becomes a suspect, and is tried on a fresh actor
with nothing beside it, and halved while it goes on killing. An image is given up when it has killed
twice while alone.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.runners.ray_pool.chunks import Chunk
from schemas.errors import BadImageError, WorkerDiedError
from schemas.images import Failure, ImageRef, Stage

_MOST_DEATHS = 2
_MOST_GIVEN_UP = 10
"""So many images in a row, each alone on a fresh worker: it is not the images."""


class Suspects:
    """Counts the chunks under suspicion, wherever they are, and narrows down who kills."""

    def __init__(self) -> None:
        self.suspects = 0
        """Chunks that are read, wait or are worked on."""

    def suspect(self, chunk: Chunk) -> None:
        """It was with an actor that died, as another may have been."""
        chunk.suspect = True
        self.suspects += 1

    def clear(self, chunk: Chunk) -> None:
        """It has been worked on."""
        self.suspects -= chunk.suspect

    def narrow_down(self, chunk: Chunk) -> list[Chunk]:
        """What is to be tried again of a chunk that killed a process while it was alone with it.

        Nothing: the one image that it has is given up.
        """
        if len(chunk.items) > 1:
            self.suspects += chunk.suspect
            return chunk.halve()
        chunk.deaths += 1
        if chunk.deaths < _MOST_DEATHS:
            return [chunk]
        self.suspects -= chunk.suspect
        return []


class Blame(Suspects):
    """Also says what is recorded of who is to blame. `memory_mb`: what a reader may take, in MiB.

    Ends a run in which no image between those that are given up comes through.
    """

    def __init__(self, memory_mb: int, log: Path) -> None:
        super().__init__()
        self._memory_mb = memory_mb
        self._log = log
        self._given_up = 0

    def clear(self, chunk: Chunk) -> None:
        super().clear(chunk)
        self._given_up = 0

    def judge(
        self, chunk: Chunk, stage: Stage, error: Exception
    ) -> tuple[list[Chunk], Failure | None]:
        """What becomes of a chunk that killed a process while it was alone with it.

        Chunks to be tried again, or the failure of an image that is given up. Raises
        WorkerDiedError when too many have been given up in a row.
        """
        if again := self.narrow_down(chunk):
            return again, None
        failure = build_failure(chunk.items[0].ref, stage, error, self._memory_mb)
        self._given_up += stage is Stage.SEGMENT
        if self._given_up == _MOST_GIVEN_UP:
            raise WorkerDiedError(
                f"{_MOST_GIVEN_UP} images in a row were too much for the models, each alone on a "
                f"fresh worker; of the last: {failure.message}; see {self._log}"
            )
        return [], failure


def build_failure(ref: ImageRef, stage: Stage, error: Exception, memory_mb: int) -> Failure:
    """The failure of an image that no process survives; `memory_mb` is what a reader may take."""
    if isinstance(error, MemoryError) and stage is Stage.READ:
        message = f"expected an image to take at most {memory_mb} MiB, got one that takes more"
        return Failure.from_error(ref, stage, BadImageError(f"{message} ({ref.uri})"))
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    died = WorkerDiedError(f"the worker process died twice of {ref.uri} alone ({reason:.300})")
    return Failure.from_error(ref, stage, died)
