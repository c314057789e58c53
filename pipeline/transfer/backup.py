"""Backs an index up to a folder or bucket, and restores it where there is none."""

from __future__ import annotations

import time

from pipeline.index_home import IndexHome
from pipeline.kept_paces import note_pace
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import Catalogue, check_files, require_catalogue
from pipeline.transfer.dataset_storage import local_dataset
from pipeline.transfer.export_parquet import ExportSummary, export
from pipeline.transfer.import_parquet import Dataset, ImportSummary, bring_in
from pipeline.transfer.import_target import require_no_images
from schemas.errors import UsageError
from workers.indexes.location import kind_of


def backup(settings: Settings, target: str, progress: Progress | None = None) -> ExportSummary:
    """Write the index and its manifest to `target`, held against each other; see `export`.

    An ingest may be at work meanwhile: images that it was just writing are recorded as failed in
    the backup, and the next ingest after a `restore` does them again.
    """
    return export(settings, target, progress, checking=True)


def restore(settings: Settings, source: str, progress: Progress | None = None) -> ImportSummary:
    """Bring back what `backup` wrote, into an index that holds nothing.

    Every file is held against the catalogue, and every row looked at, before anything is written.
    One that was interrupted is begun anew by the same command. Raises DatasetError for a
    damaged backup, UsageError where the index holds something.
    """
    progress, began = progress or Progress(), time.monotonic()
    home = IndexHome.current(settings)
    require_no_images(home, "to restore to")
    with local_dataset(source, settings.store, progress) as folder:
        catalogue = require_catalogue(folder, source)
        progress.note("checking the files of the backup")
        check_files(folder, catalogue)
        _check_empty(home, catalogue)
        summary = bring_in(Dataset(folder, catalogue), home, progress)
    note_pace(settings, restore_job(home), summary.points, time.monotonic() - began)
    return summary


def restore_job(home: IndexHome) -> str:
    """By what name the pace of a restore is kept."""
    return f"restore to {kind_of(home.location)}"


def _check_empty(home: IndexHome, catalogue: Catalogue) -> None:
    """Points without images: what a restore left behind that was interrupted, or another's."""
    if not home.exists():
        return
    with home.points() as index:
        if index.count() > catalogue.points:
            raise UsageError(f"expected nothing at {home.location} to restore to, there are points")
