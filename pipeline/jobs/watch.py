"""Keeps an index in step with its source: by listings, and by what a queue names meanwhile."""

from __future__ import annotations

import re
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
from pipeline.ingestion.box_file import read_setting_boxes
from pipeline.ingestion.listing import LISTED_AT_ONCE, ArchivedImages, list_chunks
from pipeline.ingestion.session import IngestSession
from pipeline.jobs.sync import MAX_DELETE, Removal, find_gone, open_stores, remove_images
from pipeline.manifest.image_keys import Keys, KeySet, keys_of_images
from pipeline.messages import describe_dropped
from pipeline.progress import Progress
from pipeline.runners.recipe import Recipe, build_always, build_recipe
from pipeline.settings import Settings
from schemas.counts import IngestCounts
from schemas.errors import IndexBusyError, ObjseekError, StoreAccessError, TooManyGoneError
from schemas.ids import image_id
from schemas.images import ImageRef, split_s3_uri
from schemas.manifest import ManifestRow, State
from workers.batching import batched
from workers.queues.s3_events import read_notification
from workers.queues.sqs import Message
from workers.stores.open import find
from workers.stores.selection import NO_VIDEO_READER

MESSAGES_A_ROUND = 500
_PATIENCE_S = 5.0
_MOST_REMEMBERED = 10_000
_SHOWN = 200
_NAMES = re.compile(r"[\w.-]+")


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
    build = build_always(recipe) if recipe else build_recipe
    boxes = read_setting_boxes(settings, sources)
    with IngestSession(settings, build, boxes=boxes) as session:
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


@dataclass(frozen=True, slots=True)
class _ReadMessage:
    """A message and what it names of the sources, None where it cannot be read.

    `is_understood`: nothing in it that cannot be read concerns the sources.
    """

    message: Message
    named: list[ImageRef] | None
    is_understood: bool


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
        # Messages of which something has been said.
        self._reported: set[str] = set()
        places = [split_s3_uri(source)[0] for source in sources if source.startswith("s3://")]
        # Events name the bucket, an access point's ARN only its own name.
        self._buckets = {re.split("[:/]", place)[-1] for place in places}
        self._troubles: dict[str, str] = {}
        self._are_videos_missed = False

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
            removed = remove_images(gone, home, started_at) if gone else Removal()
        self._report_unread(progress.details.skipped[NO_VIDEO_READER])
        self._report_round("listing", started_at, progress, removed)
        if too_many is not None:
            raise TooManyGoneError(f"{too_many}: they stay in the index")

    def _report_unread(self, videos: int) -> None:
        """Say, once, that videos are left out for want of a reader."""
        if videos and not self._are_videos_missed:
            self._are_videos_missed = True
            self._reporter.trouble(f"skipped {videos:,} as {NO_VIDEO_READER}")

    def _list_present(self, present: list[Keys], progress: Progress) -> Iterator[list[ImageRef]]:
        """All that the sources list; the keys of those images are added to `present`."""
        archived = ArchivedImages(progress.details.skip)
        for refs in list_chunks(
            self._sources, self._settings.store, LISTED_AT_ONCE, None, archived
        ):
            present.append(keys_of_images(refs))
            yield refs
        present += archived.keys()

    def take_messages(self, wait_s: float) -> None:
        """One round over what the queue's messages name, if any come within `wait_s`."""
        assert self._queue is not None
        messages = self._queue.receive(wait_s, MESSAGES_A_ROUND)
        read = [_ReadMessage(message, *self._read_names(message)) for message in messages]
        taken = [each for each in read if each.named is not None]
        if not taken:
            return
        refused: set[ImageRef] = set()

        def look() -> None:
            # Of a store that refuses everything the next listing tells.
            refused.update(self._look_at({ref for each in taken for ref in each.named or ()}))

        with self._queue.hold([each.message for each in taken]):
            # Delivered over and over while the index is away, they would end as undeliverable.
            while not self.attempt("events", look):
                if self._ended.wait(_PATIENCE_S):
                    return
            self._queue.delete(
                [
                    each.message
                    for each in taken
                    if each.is_understood and refused.isdisjoint(each.named or ())
                ]
            )

    def _read_names(self, message: Message) -> tuple[list[ImageRef] | None, bool]:
        """What a message names of the sources, and whether it may be deleted after that.

        None if it cannot be read: that stays. So does a message of which a part that cannot be read
        has to do with a bucket of the sources.
        """
        try:
            notification = read_notification(message.body)
        except ValueError as exc:
            self._report_message(message, f"{exc}; the message is left in the queue")
            return None, False
        named = [ref for ref in notification.images if self._covers(ref)]
        left = [text for text in notification.unread if self._concerns_source(text)]
        if notification.unread:
            what = "its message is left in the queue" if left else "the rest of its message is used"
            text = (left or notification.unread)[0][:_SHOWN]
            self._report_message(message, f"expected an S3 event, got the record {text!r}; {what}")
        return named, not left

    def _covers(self, ref: ImageRef) -> bool:
        return any(store.covers(ref) for store in self._stores)

    def _concerns_source(self, record: str) -> bool:
        """Whether a record that cannot be read mentions a bucket of the sources."""
        return not self._buckets.isdisjoint(_NAMES.findall(record))

    def _report_message(self, message: Message, text: str) -> None:
        """Say it once of each message."""
        if message.message_id not in self._reported:
            self._reporter.trouble(text)
        if len(self._reported) < _MOST_REMEMBERED:
            self._reported.add(message.message_id)

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
            removed = self._remove(absent, home, started_at) if absent else Removal()
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

    def _remove(self, absent: Sequence[ImageRef], home: IndexHome, started_at: datetime) -> Removal:
        """Remove images that are not there; how many of them were recorded."""
        if not home.exists():
            return Removal()
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
        removed: Removal,
    ) -> None:
        counts = progress.counts
        seconds = (datetime.now(UTC) - started_at).total_seconds()
        self._reporter.round(
            Round(cause, started_at, seconds, counts, removed.images + counts.gone)
        )
        dropped = removed.added + progress.details.dropped_added
        if dropped:
            self._reporter.trouble(describe_dropped(dropped))
