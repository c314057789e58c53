"""Migrates an index to another place: from a folder to a Qdrant server, or back."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.index_home import IndexHome
from pipeline.kept_paces import note_pace
from pipeline.manifest.audit import Comparison
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.import_target import require_no_images
from pipeline.transfer.source_snapshot import hold_source
from schemas.checksums import checksum
from schemas.dataset import point_digest
from schemas.errors import UsageError, VectorIndexError
from schemas.points import Point
from schemas.records import Float32Vector
from workers.batching import batched
from workers.indexes.location import kind_of
from workers.protocols import VectorIndex

_AT_ONCE = 1024
# An index norms unit vectors once more, and rounds them by that.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class MigrateSummary:
    """What both places have now; `checksum` is over all ids and payloads, the same in both."""

    points: int
    images: int
    checksum: str


def migrate(
    settings: Settings, target: Settings, progress: Progress | None = None
) -> MigrateSummary:
    """Copy index and manifest of `settings` to the places that `target` names.

    What was written is read again: each vector and payload is compared, and at the end number and
    checksum of all points. The source stays as it is. One that was interrupted goes on when it is
    asked for again. Raises UsageError where the target holds another index's points or images,
    VectorIndexError if it does not come to hold what the source does.
    """
    progress, began = progress or Progress(), time.monotonic()
    home = open_target(settings, target)
    with (
        hold_source(settings, progress) as source,
        tempfile.TemporaryDirectory(prefix="objseek-migrate-") as temporary,
    ):
        manifest = Manifest(Path(temporary) / "manifest")
        source.manifest.copy_to(manifest)
        _check_whole(source.index, manifest, progress)
        named = source.index.named_dims()
        with home.points(create_for=source.index.dim, named=named) as index:
            _check_free(source.index, index, home.location)
            summary = _Migration(source.index, index, manifest, progress).run()
        home.pipelines.describe(*source.pipelines)
        manifest.copy_to(home.manifest)
    job = migrate_job(IndexHome.current(settings), home)
    note_pace(settings, job, summary.points, time.monotonic() - began)
    return summary


def migrate_job(source: IndexHome, target: IndexHome) -> str:
    """By what name the pace of a migration is kept."""
    return f"migrate {kind_of(source.location)} to {kind_of(target.location)}"


def open_target(settings: Settings, target: Settings) -> IndexHome:
    """Where `target` has an index migrated to, of which no points are looked at yet.

    Raises UsageError where that is the place of `settings`, or images are recorded there.
    """
    if settings.index.location == target.index.location:
        raise UsageError(f"expected another place than {settings.index.location} to migrate to")
    home = IndexHome.current(target)
    require_no_images(home, "to migrate to")
    return home


def _check_whole(source: VectorIndex, manifest: Manifest, progress: Progress) -> None:
    """Damage is found before anything is written."""
    comparison = Comparison(manifest)
    for seen, point in enumerate(source.scan(), start=1):
        comparison.take_point(point)
        if seen % _AT_ONCE == 0:
            progress.note(f"{seen:,} points looked at")
    comparison.check()


def _check_free(source: VectorIndex, index: VectorIndex, location: str) -> None:
    """Only points of the source may be there already, of a migration that was interrupted."""
    for batch in batched(index.scan(), _AT_ONCE):
        ids = [uuid.UUID(point.id) for point in batch]
        if len(source.stored(ids)) != len(ids):
            raise UsageError(f"expected no points at {location} yet, it has those of another index")


def _scan_all(index: VectorIndex) -> Iterator[Point]:
    return index.scan(words=True, sparse=True, named=True)


class _Migration:
    def __init__(
        self, source: VectorIndex, target: VectorIndex, manifest: Manifest, progress: Progress
    ) -> None:
        self._source, self._target = source, target
        self._manifest, self._progress = manifest, progress

    def run(self) -> MigrateSummary:
        total, digests, written = self._source.count(), 0, 0
        for batch in batched(_scan_all(self._source), _AT_ONCE):
            self._target.restore(batch)
            self._check_written(batch)
            digests += sum(map(point_digest, batch))
            written += len(batch)
            self._progress.note(f"{written:,} of {total:,} points copied")
        if written != total:
            raise VectorIndexError(
                f"expected {total:,} points in the source, got {written:,}: it is being written "
                "to, migrate when nobody does"
            )
        return self._compare_all(written, checksum([digests]))

    def _check_written(self, points: Sequence[Point]) -> None:
        ids = [uuid.UUID(point.id) for point in points]
        there = self._target.vectors(ids, dense=True, words=False, named=True)
        for point in points:
            stored = there.get(uuid.UUID(point.id))
            if stored is None or stored.vector is None or point.vector is None:
                raise VectorIndexError(f"point {point.id} was written, and is not there")
            if not _are_same(stored.vector, point.vector):
                raise VectorIndexError(f"point {point.id} was written, and has another vector")
            for name, vector in point.named_vectors.items():
                if not _are_same(stored.named_vectors.get(name), vector):
                    raise VectorIndexError(f"point {point.id} was written, and has another {name}")

    def _compare_all(self, points: int, wanted: str) -> MigrateSummary:
        self._progress.note("comparing both")
        count, digests = 0, 0
        for point in _scan_all(self._target):
            count += 1
            digests += point_digest(point)
        found = checksum([digests])
        if (count, found) != (points, wanted):
            raise VectorIndexError(
                f"expected {points:,} points with the checksum {wanted}, got {count:,} with {found}"
            )
        return MigrateSummary(points, sum(self._manifest.counts().values()), found)


def _are_same(stored: Float32Vector | None, vector: Float32Vector) -> bool:
    return stored is not None and np.allclose(stored, vector, rtol=0, atol=_ROUNDING)
