"""Writes results to the index, then to the manifest: the commit order of an ingest."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import FrameType
from typing import Self

from pipeline.manifest.added_objects import AddedObjects
from pipeline.manifest.manifest import Manifest
from pipeline.observing.observer import RunObserver, WrittenImage
from pipeline.observing.work_reports import StageRecorder
from schemas.added import AddedObject
from schemas.checksums import checksum_of
from schemas.errors import ManifestError, SupersededError, VectorIndexError
from schemas.ids import ImageRevision, image_id
from schemas.images import Failure, ImageRef, Stage
from schemas.manifest import ManifestRow
from schemas.records import Result
from workers.protocols import VectorIndex
from workers.stores.file_version import is_stamp

_log = logging.getLogger(__name__)
# Those of a batch are held at once, and a long video has thousands.
MOST_OBJECTS = 16_384
MOST_SECONDS = 10.0
FEWEST_SECONDS = 1.0
_WRITES_TO_COMPACT = 1000


class Writer:
    """Collects results and writes them in batches; on leaving the context, the rest.

    A row reaches the manifest after the index has its image for good, so a crash in between is
    repaired by doing the image again. `on_written` gets what was written, to count it; images that
    a later run has written come as failures. What was added by hand to other versions of images
    than are written is dropped, and counted in `dropped`. `revision_of` tells by what an image was
    to be done that failed. `run_started_at`: when this run began,
    UTC; what runs that started later have written stays, and is recorded as failed. `new_index`:
    the index held nothing before this run; `attempts`: how often images have failed before it, by
    image id and version; `added`: where it is recorded what was added to the images by hand, None:
    in the manifest itself. `observer` is told of every write.
    """

    def __init__(
        self,
        index: VectorIndex,
        manifest: Manifest,
        revision_of: Callable[[ImageRef], ImageRevision],
        *,
        on_written: Callable[[Sequence[Result]], None],
        run_started_at: datetime,
        new_index: bool = False,
        attempts: Mapping[tuple[str, str], int] | None = None,
        boxes: Mapping[str, str] | None = None,
        added: AddedObjects | None = None,
        observer: RunObserver | None = None,
    ) -> None:
        self._index = index
        self._manifest = manifest
        self._revision_of = revision_of
        self._on_written = on_written
        self._run_started_at = run_started_at
        self._new_index = new_index
        self._attempts = attempts or {}
        self._boxes = boxes or {}
        self._added = added or manifest.added
        self._observer = observer or RunObserver()
        self._stages = StageRecorder()
        self._results: list[Result] = []
        self._written_at = time.monotonic()
        self._patience_s = 0.0
        self._writes = 0
        self.dropped = 0

    def add(self, results: Sequence[Result]) -> None:
        """Take results; they are written once there are many, or some time has passed.

        The first are written at once, as somebody waits to see them, and then ever more together.
        """
        self._results.extend(results)
        waited = time.monotonic() - self._written_at
        most = self._index.images_at_once
        is_full = len(self._results) >= most or self._count_objects() >= MOST_OBJECTS
        if is_full or waited >= self._patience_s:
            self.flush()
            self._patience_s = min(max(FEWEST_SECONDS, 2 * self._patience_s), MOST_SECONDS)
        self._observer.note_unwritten(len(self._results))

    def flush(self) -> None:
        """Write all results; Ctrl-C waits until they are written.

        Raises VectorIndexError, and what a manifest raises.
        """
        if not self._results:
            return
        with hold_interrupts():
            self._write(self._results)
            self._results = []
        self._observer.note_unwritten(0)
        self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            # What has just failed to be written is not tried once more.
            if kind is None or not issubclass(kind, VectorIndexError | ManifestError):
                self.flush()
        finally:
            self._observer.note_unwritten(0)

    def _count_objects(self) -> int:
        return sum(0 if isinstance(each, Failure) else len(each.objects) for each in self._results)

    def _write(self, results: Sequence[Result]) -> None:
        with self._stages.of(Stage.WRITE):
            results = self._commit(results)
        self._on_written(results)
        written = [WrittenImage.of(result) for result in results]
        self._observer.note_written(written, self._stages.take()[-1])
        self._writes += 1
        if self._writes % _WRITES_TO_COMPACT == 0:
            self._manifest.compact()

    def _commit(self, results: Sequence[Result]) -> Sequence[Result]:
        """What was written: for images that a later run has written, their failures."""
        failures = [result for result in results if isinstance(result, Failure)]
        embedded = [result for result in results if not isinstance(result, Failure)]
        superseded = self._index.replace_images(embedded, self._run_started_at)
        # The index may hold points of these, made from bytes that no longer exist.
        vanished = [image_id(failure.ref) for failure in failures
                    if failure.gone or failure.rejected]  # fmt: skip
        if vanished and not self._new_index:
            superseded |= self._index.delete_images(vanished, self._run_started_at)
        if superseded:
            results = [
                _superseded_failure(result) if image_id(result.ref) in superseded else result
                for result in results
            ]
        # Before the rows: after a crash in between the images are done again.
        self._drop_added(results)
        self._delete_removed(results)
        self._manifest.append([self._row(result, superseded) for result in results])
        self._manifest.flush()
        return results

    def _drop_added(self, results: Sequence[Result]) -> None:
        """Drop the records of what was added to images that have changed, or are gone."""
        added = self._manifest.added.by_image()
        if not added:
            return
        outdated = [
            record
            for result in results
            for record in added.get(str(image_id(result.ref)), ())
            if _is_outdated(record, result)
        ]
        self._manifest.added.remove(outdated)
        self.dropped += len(outdated)

    def _delete_removed(self, results: Sequence[Result]) -> None:
        """Delete again what was added by hand, and removed since its image was taken on."""
        written = [
            str(record.object_id)
            for result in results
            if not isinstance(result, Failure)
            for record in result.added
        ]
        there = self._added.all() if written else {}
        removed = [name for name in written if name not in there]
        if removed:
            self._index.delete_points(removed)

    def _row(self, result: Result, superseded: Collection[uuid.UUID]) -> ManifestRow:
        ref, now = result.ref, datetime.now(UTC)
        identity = image_id(ref)
        attempts = self._attempts.get((str(identity), ref.version), 0) + 1
        if isinstance(result, Failure):
            revision = self._revision_of(ref)
            # The later run's row has to be the last one, whichever is written first.
            at = self._run_started_at if identity in superseded else now
            row = ManifestRow.failure(result, revision, at, attempts=attempts)
        else:
            checksum, objects = checksum_of(result), len(result.objects)
            row = ManifestRow.done(
                ref, result.revision, objects, now, checksum=checksum, attempts=attempts
            )
            row = replace(row, shots=result.shots)
        return replace(row, boxes=self._boxes.get(row.image_id, ""))


def _is_outdated(record: AddedObject, result: Result) -> bool:
    if not isinstance(result, Failure):
        return record.version != result.ref.version
    if result.rejected and not is_stamp(result.ref.version):
        return record.version != result.ref.version
    return result.gone


def _superseded_failure(result: Result) -> Failure:
    uri = result.ref.uri
    error = SupersededError(f"a run that started later has written this image ({uri})")
    _log.warning("%s: %s", Stage.WRITE, error)
    return Failure.from_error(result.ref, Stage.WRITE, error)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Raise a Ctrl-C during the block after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def hold(_signal: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
