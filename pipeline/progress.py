"""How far an ingest is: exact counts, a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pipeline.messages import quantify
from schemas.images import Failure
from schemas.records import EmbeddedImage
from workers.stores.selection import EMPTY

if TYPE_CHECKING:
    pass

_MOST_SHOWN = 10


_NAMED = 20  # however many there are, for memory's sake


@dataclass(slots=True)
class ListingCounts:
    """What has been listed so far: images, and what was skipped, by reason.

    `empty` are the uris of the first images of zero bytes: they should have been images.
    """

    listed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)

    def skip(self, reason: str, uri: str) -> None:
        """Count one skipped object; a `Skipped` for `ObjectStore.list_images`."""
        self.skipped[reason] += 1
        if reason == EMPTY and len(self.empty) < _NAMED:
            self.empty.append(uri)


@dataclass(slots=True)
class Counts:
    """Images by what became of them; each that was handled is in exactly one of the states.

    `shown` are the first few failures, to be told at the end.
    """

    listing: ListingCounts = field(default_factory=ListingCounts)
    all_listed: bool = False
    unchanged: int = 0
    done: int = 0
    rejected: int = 0
    failed: int = 0
    gone: int = 0
    objects: int = 0
    shown: list[Failure] = field(default_factory=list)

    @property
    def listed(self) -> int:
        return self.listing.listed

    @property
    def handled(self) -> int:
        """Images that were worked on, whatever came of it."""
        return self.done + self.rejected + self.failed + self.gone

    def add(self, results: Iterable[EmbeddedImage | Failure]) -> None:
        """Count results that have been written."""
        for result in results:
            if isinstance(result, EmbeddedImage):
                self.done += 1
                self.objects += len(result.objects)
                continue
            if result.rejected:
                self.rejected += 1
            elif result.gone:
                self.gone += 1
            else:
                self.failed += 1
            if len(self.shown) < _MOST_SHOWN:
                self.shown.append(result)

    def check(self) -> None:
        """Hold at the end of a run that came to its end: no image is lost or counted twice."""
        if self.listed != self.handled + self.unchanged:
            raise AssertionError(f"the counts do not add up: {self}")


class Progress:
    """Holds the counts of a run and tells nobody. Subclasses do."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._started = time.monotonic()
        self._working: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return

    def note(self, text: str) -> None:
        """Tell what is being waited for."""

    def advance(self) -> None:
        """The counts have changed."""

    def begin(self) -> None:
        """Work on images begins: from here on there is a rate."""
        self._working = time.monotonic()

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
        """Images a second since the work on them began."""
        if self._working is None:
            return 0.0
        return self.counts.handled / max(time.monotonic() - self._working, 1e-9)

    def told(self) -> str:
        """The counts in one line."""
        counts = self.counts
        left = counts.listed - counts.unchanged
        total = quantify(left, "image") if counts.all_listed else f"{left:,} or more images"
        parts = [f"{counts.handled:,} of {total}", quantify(counts.objects, "object")]
        parts.append(f"{self.rate:.2f} images/s")
        if counts.all_listed and 0 < counts.handled < left and self.rate > 0:
            parts.append(f"{_clock((left - counts.handled) / self.rate)} left")
        for state in ("rejected", "failed", "gone"):
            if number := getattr(counts, state):
                parts.append(f"{number:,} {state}")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
