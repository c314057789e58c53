"""Keeps an index in step with its source: by listings, and by what a queue names meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal, Protocol
from uuid import UUID

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import LISTED_AT_ONCE, list_chunks
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.sync import MAX_DELETE, find_gone, open_stores, remove_images
from pipeline.manifest.image_keys import Keys, KeySet, keys_of_images
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_always, build_recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import IndexBusyError, ObjseekError, StoreAccessError, TooManyGoneError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.manifest import ManifestRow, State
from workers.batching import batched
from workers.queues.s3_events import images_named
from workers.queues.sqs import Message
from workers.stores.open import find

MESSAGES_A_ROUND = 500
_PATIENCE_S = 5.0
_MOST_REMEMBERED = 10_000


class Queue(Protocol):
    """Delivers each message at least once, and again until it is deleted."""

    def receive(self, wait_s: float, most: int) -> list[Message]:
        """Up to `most` messages; waits for the first."""
        ...

    def delete(self, messages: Sequence[Message]) -> None:
        """Have them never delivered again."""
        ...

    def hold(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Keeps them from being delivered again during the block."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the source came to; `removed` are images that are gone."""

    cause: Literal["listing", "events"]
    started_at: datetime
    seconds: float
    counts: IngestCounts
    removed: int

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        return bool(self.counts.handled or self.removed)

    def to_json(self) -> dict[str, object]:
        """The round as the command prints it for machines."""
        counts = self.counts
        return {
            "cause": self.cause,
            "started_at": self.started_at.isoformat(),
            "seconds": self.seconds,
            "done": counts.done,
            "objects": counts.objects,
            "rejected": counts.rejected,
            "failed": counts.failed,
            "removed": self.removed,
        }


@dataclass(frozen=True, slots=True)
class WatchReporter:
    """Reports every round, trouble that passes and is tried again, and the progress of a round."""

    round: Callable[[Round], None]
    trouble: Callable[[str], None]
    progress: Callable[[], Progress] = Progress


def watch(
    sources: Sequence[str],
    settings: Settings,
    reporter: WatchReporter,
    *,
    every_s: float,
    queue: Queue | None = None,
    max_delete: float = MAX_DELETE,
    once: bool = False,
    ended: threading.Event | None = None,
    recipe: Recipe | None = None,
) -> None:
    """Keep the index that `settings` name equal to `sources`, until `ended` is set.

    Every `every_s` seconds all of the source is listed: what is new or changed comes in, what is
    gone leaves, as `sync` does it, but that what is new comes in where more has gone than
    `max_delete` allows. Messages of `queue` name what has changed in between: the store is asked
    for what is there now, so that it does not matter in which order they come, how often, or when;
    they are deleted when index and manifest have it. What passes (the store or the index is away,
    more is gone than `max_delete` allows) is reported, and tried again; raises ObjseekError for
    what does not. With `once` there is one listing, and whatever goes wrong is raised.
    """
    ended = ended or threading.Event()
    with IngestSession(settings, build_always(recipe) if recipe else build_recipe) as session:
        watching = _Watch(sources, settings, session, reporter, max_delete, queue, ended)
        if once:
            watching.list_all()
            return
        due = time.monotonic()
        while not ended.is_set():
            if time.monotonic() >= due:
                went_well = watching.attempt("listing", watching.list_all)
                due = time.monotonic() + (every_s if went_well else min(every_s, _PATIENCE_S))
            left_s = max(0.0, due - time.monotonic())
            if queue is None:
                ended.wait(left_s)
            elif not watching.attempt("queue", partial(watching.take_messages, left_s)):
                ended.wait(_PATIENCE_S)


class _Watch:
    def __init__(
        self,
        sources: Sequence[str],
        settings: Settings,
        session: IngestSession,
        reporter: WatchReporter,
        max_delete: float,
        queue: Queue | None,
        ended: threading.Event,
    ) -> None:
        self._sources, self._settings, self._session = sources, settings, session
        self._reporter, self._max_delete, self._queue = reporter, max_delete, queue
        self._stores = open_stores(sources, settings.store)
        self._ended = ended
        self._unreadable: set[str] = set()
        self._troubles: dict[str, str] = {}

    def attempt(self, what: str, work: Callable[[], None]) -> bool:
        """Whether it went so well that there is no hurry; what passes is reported once."""
        try:
            work()
        except TooManyGoneError as exc:
            self._report_trouble(what, exc)
            return True
        except ObjseekError as exc:
            if not (exc.retryable or isinstance(exc, IndexBusyError)):
                raise
            self._report_trouble(what, exc)
            return False
        self._troubles.pop(what, None)
        return True

    def _report_trouble(self, what: str, error: ObjseekError) -> None:
        if self._troubles.get(what) != str(error):
            self._reporter.trouble(str(error))
        self._troubles[what] = str(error)

    def list_all(self) -> None:
        """One round over all that the sources list."""
        # Before the listing: what changes from here on belongs to a later round.
        started_at = datetime.now(UTC)
        present: list[Keys] = []
        home = IndexHome.current(self._settings)
        with self._reporter.progress() as progress:
            listing = self._list_present(present, progress)
            self._session.run(listing, home, progress, started_at=started_at)
            too_many: TooManyGoneError | None = None
            gone: list[ManifestRow] = []
            try:
                gone = find_gone(self._sources, home, self._max_delete, KeySet(present))
            except TooManyGoneError as exc:
                too_many = exc
            removed = remove_images(gone, home, started_at) if gone else 0
        self._report_round("listing", started_at, progress, removed)
        if too_many is not None:
            raise TooManyGoneError(f"{too_many}: they stay in the index")

    def _list_present(self, present: list[Keys], progress: Progress) -> Iterator[list[ImageRef]]:
        """All that the sources list; the keys of those images are added to `present`."""
        for refs in list_chunks(
            self._sources, self._settings.store, LISTED_AT_ONCE, None, progress.details.skip
        ):
            present.append(keys_of_images(refs))
            yield refs

    def take_messages(self, wait_s: float) -> None:
        """One round over what the queue's messages name, if any come within `wait_s`."""
        assert self._queue is not None
        messages = self._queue.receive(wait_s, MESSAGES_A_ROUND)
        read = [(message, self._read_names(message)) for message in messages]
        taken = [message for message, named in read if named is not None]
        if not taken:
            return
        refused: set[ImageRef] = set()

        def look() -> None:
            # Of a store that refuses everything the next listing tells.
            refused.update(self._look_at({ref for _, named in read for ref in named or ()}))

        with self._queue.hold(taken):
            # Delivered over and over while the index is away, they would end as undeliverable.
            while not self.attempt("events", look):
                if self._ended.wait(_PATIENCE_S):
                    return
            self._queue.delete(
                [
                    message
                    for message, named in read
                    if named is not None and refused.isdisjoint(named)
                ]
            )

    def _read_names(self, message: Message) -> list[ImageRef] | None:
        """What a message names of the sources, None if it cannot be read: that stays."""
        try:
            named = images_named(message.body)
        except ValueError as exc:
            if message.message_id not in self._unreadable:
                self._reporter.trouble(f"{exc}; the message is left in the queue")
            if len(self._unreadable) < _MOST_REMEMBERED:
                self._unreadable.add(message.message_id)
            return None
        return [ref for ref in named if any(store.covers(ref) for store in self._stores)]

    def _look_at(self, named: set[ImageRef]) -> set[ImageRef]:
        """Bring the index to what the store has now of these images; those that it refuses."""
        if not named:
            return set()
        started_at = datetime.now(UTC)
        settings, home = self._settings, IndexHome.current(self._settings)
        names = sorted(named, key=lambda ref: ref.uri)
        with ThreadPoolExecutor(settings.runner.read_concurrency) as pool:
            found = dict(zip(names, pool.map(self._find, names), strict=True))
        # An image of no bytes is none to a listing either.
        there = [ref for ref in found.values() if isinstance(ref, ImageRef) and ref.size_bytes]
        refused = {name for name, ref in found.items() if isinstance(ref, StoreAccessError)}
        present = {ref.uri for ref in there}
        absent = [ref for ref in names if ref.uri not in present and ref not in refused]

        with self._reporter.progress() as progress:
            if there:
                listing = batched(there, LISTED_AT_ONCE)
                self._session.run(listing, home, progress, started_at=started_at)
            removed = self._remove(absent, home, started_at) if absent else 0
        self._report_round("events", started_at, progress, removed)
        return refused

    def _find(self, name: ImageRef) -> ImageRef | StoreAccessError | None:
        """The image that is there now, None if there is none, the error where that is refused."""
        try:
            return find(name, self._settings.store)
        except StoreAccessError as exc:
            if exc.retryable:
                raise
            self._reporter.trouble(f"{exc}; what names it is left in the queue")
            return exc

    def _remove(self, absent: Sequence[ImageRef], home: IndexHome, started_at: datetime) -> int:
        """Remove images that are not there; how many of them were recorded."""
        if not home.exists():
            return 0
        ids = {image_id(ref) for ref in absent}
        rows = home.manifest.rows_of(list(map(str, ids)))
        known = [row for row in rows if row.state is not State.GONE]
        unrecorded = ids - {UUID(row.image_id) for row in known}
        return remove_images(known, home, started_at, unrecorded=list(unrecorded))

    def _report_round(
        self,
        cause: Literal["listing", "events"],
        started_at: datetime,
        progress: Progress,
        removed: int,
    ) -> None:
        counts = progress.counts
        seconds = (datetime.now(UTC) - started_at).total_seconds()
        self._reporter.round(Round(cause, started_at, seconds, counts, removed + counts.gone))
