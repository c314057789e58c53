"""Hands what passes in other processes to the observers of this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.observing.observer import RunObserver, WrittenImage
from pipeline.observing.work_reports import StageSpan, WorkReport
from schemas.images import ImageRef


@dataclass(frozen=True, slots=True)
class Observed:
    """A call of an observer, by the name of its method, as it travels."""

    method: str
    values: tuple[object, ...] = ()
    numbers: dict[str, int] = field(default_factory=dict)

    def replay(self, observer: RunObserver) -> None:
        """Make that call."""
        getattr(observer, self.method)(*self.values, **self.numbers)


class ForwardingObserver(RunObserver):
    """Sends what it is told to another process; `send` takes calls from any thread."""

    def __init__(self, send: Callable[[Observed], None]) -> None:
        self._send = send

    def note_listed(self, images: int) -> None:
        self._send(Observed("note_listed", (images,)))

    def note_listing(self, refs: Sequence[ImageRef], span: StageSpan) -> None:
        self._send(Observed("note_listing", (refs, span)))

    def note_unchanged(self, images: int) -> None:
        self._send(Observed("note_unchanged", (images,)))

    def note_queues(self, *, reading: int, waiting: int, working: int, workers: int) -> None:
        numbers = {"reading": reading, "waiting": waiting, "working": working, "workers": workers}
        self._send(Observed("note_queues", numbers=numbers))

    def note_worked(self, refs: Sequence[ImageRef], report: WorkReport) -> None:
        self._send(Observed("note_worked", (refs, report)))

    def note_unwritten(self, images: int) -> None:
        self._send(Observed("note_unwritten", (images,)))

    def note_written(self, images: Sequence[WrittenImage], span: StageSpan) -> None:
        self._send(Observed("note_written", (images, span)))

    def note_retry(self, what: str) -> None:
        self._send(Observed("note_retry", (what,)))


class JobQueues:
    """Adds up what several jobs have in their queues, for the one observer of all."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self._queues: dict[object, Counter[str]] = {}
        self._unwritten: dict[object, int] = {}

    def take(self, job: object, observed: Observed) -> None:
        """Take what a job has sent."""
        if observed.method == "note_queues":
            self._queues[job] = Counter(observed.numbers)
            self._note_queues()
        elif observed.method == "note_unwritten":
            (images,) = observed.values
            assert isinstance(images, int)
            self._unwritten[job] = images
            self._note_unwritten()
        else:
            observed.replay(self._observer)

    def drop(self, job: object) -> None:
        """A job has ended, or was killed: nothing is left in its queues."""
        self._queues.pop(job, None)
        self._unwritten.pop(job, None)
        self._note_queues()
        self._note_unwritten()

    def _note_queues(self) -> None:
        sums = sum(self._queues.values(), Counter[str]())
        names = ("reading", "waiting", "working", "workers")
        self._observer.note_queues(**{name: sums[name] for name in names})

    def _note_unwritten(self) -> None:
        self._observer.note_unwritten(sum(self._unwritten.values()))
