"""The interface of those who observe a run: metrics, traces, logs of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.observing.work_reports import StageSpan, WorkReport
from schemas.images import Failure, ImageRef
from schemas.records import Result


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """What became of an image: done, rejected, failed or gone.

    `objects` are those of an image that is done; of others, `stage` is where it ended, and `reason`
    the class of the error.
    """

    ref: ImageRef
    outcome: str
    objects: int = 0
    stage: str = ""
    reason: str = ""

    @classmethod
    def of(cls, result: Result) -> Self:
        """What became of the image of a result."""
        if not isinstance(result, Failure):
            return cls(result.ref, "done", len(result.objects))
        outcome = "rejected" if result.rejected else "gone" if result.gone else "failed"
        return cls(result.ref, outcome, 0, result.stage, result.error_class)


class RunObserver:
    """Is told of all that passes the driver, from any of its threads; this one ignores it."""

    def note_listed(self, images: int) -> None:
        """So many images are listed."""

    def note_listing(self, refs: Sequence[ImageRef], span: StageSpan) -> None:
        """A listing has given these, and took so long for it."""

    def note_unchanged(self, images: int) -> None:
        """So many listed images need no work."""

    def note_queues(self, *, reading: int, waiting: int, working: int, workers: int) -> None:
        """So many chunks are being read, wait for a worker, and are with one; so many workers."""

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        """Workers are done with a chunk, or with a part of a video."""

    def note_unwritten(self, images: int) -> None:
        """So many results wait to be written."""

    def note_written(self, images: Sequence[WrittenImage], span: StageSpan) -> None:
        """These came to index and manifest: each image of a run that is worked on, once."""

    def note_retry(self, what: str) -> None:
        """A chunk or a request of the driver is tried again."""


class ObserverGroup(RunObserver):
    """Several observers, each of whom is told everything."""

    def __init__(self, members: Sequence[RunObserver]) -> None:
        self._members = tuple(members)

    def note_listed(self, images: int) -> None:
        for member in self._members:
            member.note_listed(images)

    def note_listing(self, refs: Sequence[ImageRef], span: StageSpan) -> None:
        for member in self._members:
            member.note_listing(refs, span)

    def note_unchanged(self, images: int) -> None:
        for member in self._members:
            member.note_unchanged(images)

    def note_queues(self, *, reading: int, waiting: int, working: int, workers: int) -> None:
        for member in self._members:
            member.note_queues(reading=reading, waiting=waiting, working=working, workers=workers)

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        for member in self._members:
            member.note_worked(refs, report)

    def note_unwritten(self, images: int) -> None:
        for member in self._members:
            member.note_unwritten(images)

    def note_written(self, images: Sequence[WrittenImage], span: StageSpan) -> None:
        for member in self._members:
            member.note_written(images, span)

    def note_retry(self, what: str) -> None:
        for member in self._members:
            member.note_retry(what)
