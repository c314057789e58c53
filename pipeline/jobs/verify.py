"""Verifies an index: compares manifest, points and source, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pipeline.index_home import IndexHome
from pipeline.ingestion.listing import list_images
from pipeline.jobs.sync import MAX_DELETE
from pipeline.manifest.audit import Comparison, Report
from pipeline.manifest.track_files import TrackFiles
from pipeline.progress import Progress
from pipeline.settings import Settings
from schemas.errors import UsageError
from workers.stores.open import build_store

_POINTS_A_NOTE = 50_000
# From when points are written until the manifest has them, with clocks that differ.
_ON_ITS_WAY = timedelta(minutes=10)


def verify(
    settings: Settings,
    sources: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    repairing: bool = False,
    max_delete: float = MAX_DELETE,
) -> Report:
    """Compare every point of the index with the manifest, and the manifest with `sources`.

    `repairing`: stray points are deleted, and damaged images are recorded as failed, so that the
    next ingest does them again. Images that have failed are waiting for it already, whatever the
    index has of them; what a server's index got in the last ten minutes may still be written to,
    and is not judged. Half a kilobyte of memory an image. Raises IndexMissingError, IndexBusyError,
    what a listing raises, and UsageError, with nothing repaired, if a larger share of all points
    than `max_delete` is stray.
    """
    progress, home = progress or Progress(), IndexHome.current(settings)
    home.require_ingested()
    # A folder is held until what is found has been repaired; others may write to a server.
    settled_before = datetime.now(UTC) - _ON_ITS_WAY if home.is_shared else None
    with home.points() as index:
        progress.note("comparing points with the manifest")
        comparison = Comparison(home.manifest, settled_before, TrackFiles(home.parts))
        for number, point in enumerate(index.scan(), start=1):
            if number % _POINTS_A_NOTE == 0:
                progress.note(f"{number:,} points compared")
            comparison.take_point(point)
        if sources:
            progress.note("listing images")
            for ref in list_images(sources, home.store, comparison.take_skipped):
                comparison.take_listed(ref)
        report = comparison.report([build_store(source, home.store) for source in sources])
        if repairing:
            if len(report.stray) > max_delete * report.points:
                raise UsageError(
                    f"{len(report.stray):,} of {report.points:,} points are of images that the "
                    f"manifest does not have so, --max-delete {max_delete:g} allows fewer: nothing "
                    "was repaired; was it another manifest's index?"
                )
            if report.stray:
                index.delete_points(report.stray)
            home.manifest.append(report.queued)
            home.manifest.flush()
    return report
