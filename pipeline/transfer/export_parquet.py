"""Exports the points of an index to Parquet files, as a stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.manifest.audit import Comparison, Fault, damaged_row
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import IMAGES, POINTS, write_catalogue
from pipeline.transfer.dataset_storage import new_dataset
from pipeline.transfer.source_snapshot import hold_source
from schemas.dataset import points_table
from schemas.errors import VectorIndexError
from schemas.manifest import ManifestRow, State
from schemas.named_vectors import NO_NAMED, NamedDims
from schemas.payload import PointPayload
from schemas.points import Point
from workers.protocols import VectorIndex

_ROWS_AT_ONCE = 4096
_ROWS_A_FILE = 262_144


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written. `files` are counted with the catalogue.

    `queued`: images whose points were not those that their rows tell of, or are broken; they are
    recorded as failed, so that the next ingest does them again. `broken`: objects that were left
    out, as their box, area or mask does not fit their image. `left_out`: points that no row tells
    of, which an import leaves out. `of_videos`: objects of videos, where these were left out.
    """

    objects: int
    images: int
    files: int
    size_bytes: int
    queued: int
    left_out: int = 0
    broken: int = 0
    of_videos: int = 0


def export(
    settings: Settings,
    target: str,
    progress: Progress | None = None,
    *,
    checking: bool = False,
    replacing: bool = False,
) -> ExportSummary:
    """Write all points and the manifest's rows as Parquet files to a folder or `s3://…` prefix.

    While another process has the index open, a copy that it makes is what is written. Memory does
    not grow with the index, unless points have to be held against the manifest: if `checking`, or
    if others may write meanwhile. `replacing`: an export that is there gives way to this one, when
    it is whole. Raises UsageError where `target` holds something else, IndexMissingError,
    IndexBusyError, VectorIndexError for a point that is none of objseek's.
    """
    progress = progress or Progress()
    with (
        hold_source(settings, progress) as source,
        new_dataset(target, settings.store, progress, replacing=replacing) as folder,
    ):
        manifest = Manifest(folder / IMAGES)
        source.manifest.copy_to(manifest)
        comparison = Comparison(manifest) if checking or source.may_differ else None
        broken: Counter[str] = Counter()
        with closing(_point_files(folder, source.index)) as files:
            for point in _scan_points(source.index, progress):
                if _is_broken(point):
                    broken[str(point.payload["image_id"])] += 1
                else:
                    files.add(point)
                if comparison is not None:
                    comparison.take_point(point)
        left_out: Sequence[str] = ()
        damaged = _damaged_rows(manifest, sorted(broken))
        if comparison is not None:
            report = comparison.report()
            left_out, damaged = report.stray, report.queued
        if damaged:
            manifest.append(damaged)
            manifest.compact()
        progress.note("writing the catalogue")
        catalogue = write_catalogue(
            folder,
            index=settings.index.location,
            dim=source.index.dim,
            points=files.counts.total(),
            images=sum(manifest.counts().values()),
            left_out=tuple(left_out),
            pipelines=source.pipelines,
        )
        return ExportSummary(
            objects=files.counts["object"],
            images=catalogue.images,
            files=len(catalogue.files) + 1,
            size_bytes=sum(entry.bytes for entry in catalogue.files.values()),
            queued=len(damaged),
            left_out=len(left_out),
            broken=broken.total(),
        )


def _point_files(folder: Path, index: VectorIndex) -> PointFiles:
    return PointFiles(folder / POINTS, index.dim, index.named_dims())


def _is_broken(point: Point) -> bool:
    """Whether no import would take it; one that is none of objseek's is told of when written."""
    try:
        return not PointPayload.model_validate(dict(point.payload)).has_sound_shape()
    except ValidationError:
        return False


def _damaged_rows(manifest: Manifest, image_ids: Sequence[str]) -> Sequence[ManifestRow]:
    rows = manifest.rows_of(image_ids) if image_ids else []
    return [damaged_row(row, [Fault.BROKEN]) for row in rows if row.state is State.DONE]


def _scan_points(index: VectorIndex, progress: Progress) -> Iterator[Point]:
    """Every point, with all its vectors; how many, and of how many, is told."""
    total = index.count()
    scanned = index.scan(words=True, sparse=True, named=True)
    for number, point in enumerate(scanned, start=1):
        if number % _ROWS_AT_ONCE == 0:
            progress.note(f"{number:,} of {total:,} points written")
        yield point


class PointFiles:
    """Parquet files below a folder: `kind=object/part-00000.parquet`, some 260,000 rows each."""

    def __init__(self, folder: Path, dim: int, named: NamedDims = NO_NAMED) -> None:
        self._folder, self._dim, self._named = folder, dim, named
        self._waiting: dict[str, list[Point]] = defaultdict(list)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._rows: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def add(self, point: Point) -> None:
        """Raises VectorIndexError for a point that is none of objseek's."""
        kind = str(point.payload.get("kind"))
        waiting = self._waiting[kind]
        waiting.append(point)
        if len(waiting) == _ROWS_AT_ONCE:
            self._write(kind)

    def close(self) -> None:
        """Write what waits."""
        for kind in list(self._waiting):
            self._write(kind)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _write(self, kind: str) -> None:
        points = self._waiting.pop(kind)
        try:
            table = points_table(points, self._dim, self._named)
        except ValueError as exc:
            raise VectorIndexError(f"{exc}: `objseek verify --repair` finds what is wrong") from exc
        if kind not in self._writers:
            self._writers[kind] = pq.ParquetWriter(
                self._next_file(kind), table.schema, compression="zstd"
            )
        self._writers[kind].write_table(table)
        self.counts[kind] += len(points)
        self._rows[kind] += len(points)
        if self._rows[kind] >= _ROWS_A_FILE:
            self._writers.pop(kind).close()
            self._rows[kind] = 0

    def _next_file(self, kind: str) -> Path:
        folder = self._folder / f"kind={kind}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"part-{sum(1 for _ in folder.iterdir()):05}.parquet"
