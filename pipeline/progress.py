"""Counts how far a run is; subclasses show it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from pipeline.messages import printable, quantify
from pipeline.observing.observer import RunObserver
from pipeline.throughput import Throughput
from schemas.counts import IngestCounts
from schemas.images import Failure
from schemas.ingest_api import NewObject
from schemas.records import EmbeddedImage
from workers.labelling.calibration import calibration_of
from workers.stores.selection import EMPTY

_log = logging.getLogger(__name__)
# However many there are, for memory's sake.
_MOST_FAILURES = 10
_MOST_WARNED = 10
_MOST_EMPTY = 20
# Of the labels of objects: as many as can be read in passing, and only those that may be trusted.
_MOST_NEWEST = 4
_LEAST_PROBABILITY = 0.5


@dataclass(slots=True)
class RunDetails:
    """What is worth saying at the end of a run beside its counts.

    `skipped` are listed objects that are no images to be read, by reason; `empty_uris` those of the
    first images of zero bytes, which should have been images; `failures` the first few; `warnings`
    what was asked for and is done otherwise, a sentence each. `dropped_added` objects that were
    added by hand went with images that have changed, or are gone.
    """

    skipped: Counter[str] = field(default_factory=Counter)
    empty_uris: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped_added: int = 0

    def skip(self, reason: str, uri: str) -> None:
        """Count one skipped object; a `Skipped` for `ObjectStore.list_images`."""
        self.skipped[reason] += 1
        if reason == EMPTY and len(self.empty_uris) < _MOST_EMPTY:
            self.empty_uris.append(uri)

    def add_failures(self, failures: Iterable[Failure]) -> None:
        """Keep those that are among the first few."""
        self.failures += islice(failures, _MOST_FAILURES - len(self.failures))


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """Frames of videos that were looked at, and how many the `unfinished` videos are to have."""

    done: int = 0
    left: int = 0
    unfinished: int = 0


class Progress:
    """Holds the counts of a run and shows nothing. Subclasses do.

    `observer` is told what passes beside the counts.
    """

    def __init__(self) -> None:
        self.observer = RunObserver()
        self.counts = IngestCounts()
        self.details = RunDetails()
        self._started = time.monotonic()
        self._working: float | None = None
        self._throughput = Throughput()
        self._finished = 0
        self._videos = VideoFrames()
        self._warned = 0
        self._told_seconds_left: float | None = None
        self.newest: tuple[NewObject, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return

    def tell(self, observer: RunObserver) -> None:
        """From now on have `observer` told what passes."""
        self.observer = observer

    def add_listed(self, images: int) -> None:
        """Count images that a listing has given."""
        self.counts = self.counts.plus(listed=images)
        self.observer.note_listed(images)

    def end_listing(self) -> None:
        """There is no more to be listed."""
        self.counts = self.counts.model_copy(update={"all_listed": True})

    def add_unchanged(self, images: int) -> None:
        """Count images that need no work."""
        self.counts = self.counts.plus(unchanged=images)
        self.observer.note_unchanged(images)

    def add_results(self, results: Sequence[EmbeddedImage | Failure]) -> None:
        """Count the results of images that have been written."""
        self.counts = self.counts.plus_results(results)
        self.newest = list_newest(results) or self.newest
        self.details.add_failures(result for result in results if isinstance(result, Failure))

    def note(self, text: str) -> None:
        """Say what is being waited for."""

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the end of the run."""
        if sentence not in self.details.warnings:
            self.details.warnings.append(sentence)

    def warn_of_image(self, sentence: str) -> None:
        """As `warn`, of one of many images: the first few are kept, and all are logged."""
        _log.warning("%s", sentence)
        if self._warned < _MOST_WARNED:
            self._warned += 1
            self.warn(sentence)

    def advance(self) -> None:
        """The counts have changed."""

    def begin(self, throughput: Throughput | None = None) -> None:
        """Work on images begins: from here on there is a rate.

        `throughput` is that of the workers, if it is known here.
        """
        self._working = time.monotonic()
        self._throughput = throughput or Throughput()

    def add_finished(self, images: int) -> None:
        """Count images that workers are done with, before they are written."""
        self._finished += images

    def note_videos(self, videos: VideoFrames) -> None:
        """Take how far the videos of this run are: for times each of their frames is an image."""
        self._videos = videos

    @property
    def working(self) -> bool:
        """Whether work on images has begun."""
        return self._working is not None

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Images and frames of videos a second since the work on them began."""
        if self._working is None:
            return 0.0
        done = self.counts.handled + self._videos.done
        return done / max(time.monotonic() - self._working, 1e-9)

    def take(
        self, counts: IngestCounts, newest: tuple[NewObject, ...], seconds_left: float | None
    ) -> None:
        """Have what somebody who does the work elsewhere tells of it."""
        self.counts, self.newest, self._told_seconds_left = counts, newest, seconds_left

    @property
    def seconds_left(self) -> float | None:
        """How long the images that are left will take; None as long as nobody can tell."""
        if self._told_seconds_left is not None:
            return self._told_seconds_left
        counts = self.counts
        finished = max(self._finished, counts.handled)
        left = counts.listed - counts.unchanged - finished - self._videos.unfinished
        left += self._videos.left
        return self._throughput.estimate_seconds_left(left) if counts.all_listed else None

    def describe_newest(self) -> str:
        """What the objects that were written last are called; empty where nobody knows."""
        labels = [printable(new.label) for new in self.newest]
        return f"newest: {', '.join(labels)}" if labels else ""

    def describe(self) -> str:
        """The counts in one line."""
        counts = self.counts
        left = counts.listed - counts.unchanged
        total = f"{left:,}" if counts.all_listed else f"{left:,} or more"
        noun = counts.noun if counts.videos or left != 1 or not counts.all_listed else "image"
        parts = [f"{counts.handled:,} of {total} {noun}", quantify(counts.objects, "object")]
        if rate := self._throughput.rate or self.rate:
            rated = "images and frames" if self._videos.done else counts.rate_noun
            parts.append(f"{rate:.2f} {rated}/s")
        seconds_left = self.seconds_left
        if seconds_left is not None and counts.handled < left:
            parts.append(f"{format_clock(seconds_left)} left")
        for state in ("rejected", "failed", "gone"):
            if number := getattr(counts, state):
                parts.append(f"{number:,} {state}")
        return ", ".join(parts)


def list_newest(results: Sequence[EmbeddedImage | Failure]) -> tuple[NewObject, ...]:
    """A few objects in these results whose labels are more likely right than wrong, surest first.

    Of each label there is one.
    """
    surest: dict[str, tuple[float, str]] = {}
    for result in results:
        if isinstance(result, Failure):
            continue
        least = calibration_of(result.embedder).label_score(_LEAST_PROBABILITY)
        for record in result.objects:
            for label in record.naming.labels[:1] if record.naming else ():
                score, _ = surest.get(label.name, (least, ""))
                if label.score >= score:
                    surest[label.name] = label.score, str(record.object_id)
    names = sorted(surest, key=lambda name: -surest[name][0])[:_MOST_NEWEST]
    return tuple(NewObject(object_id=surest[name][1], label=name) for name in names)


def format_clock(seconds: float) -> str:
    """Seconds as 0:23:10."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
