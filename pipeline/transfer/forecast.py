"""Says what an import, a restore or a migration would do, and whether it would be refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.index_home import IndexHome
from pipeline.kept_paces import KeptPace, find_pace
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.backup import restore_job
from pipeline.transfer.dataset_catalogue import Catalogue, read_catalogue, require_catalogue
from pipeline.transfer.dataset_storage import CATALOGUE, local_dataset, local_folder
from pipeline.transfer.import_parquet import Dataset, import_job, require_no_shared
from pipeline.transfer.import_target import require_no_images
from pipeline.transfer.migrate import migrate_job, open_target
from schemas.errors import ObjectGoneError
from schemas.manifest import State
from workers.stores.s3_prefix import S3Prefix


@dataclass(frozen=True, slots=True)
class TransferForecast:
    """What would be written to `target`. `size_bytes` of the files of a backup; None: not known.

    `pace` is that of the last such job on this machine.
    """

    images: int
    points: int
    source: str
    target: str
    size_bytes: int | None = None
    pace: KeptPace | None = None


def forecast_import(
    settings: Settings, source: str, progress: Progress | None = None
) -> TransferForecast:
    """What `import_dataset` of an export would write: its rows are counted, not looked at.

    An export in a bucket is fetched for it.

    Raises UsageError where there is no such folder, or the index has one of its images already,
    DatasetError for what is no export.
    """
    home = IndexHome.current(settings)
    with local_dataset(source, settings.store, progress or Progress()) as folder:
        catalogue = read_catalogue(folder)
        dataset = Dataset(folder, catalogue)
        require_no_shared(home, dataset)
        return TransferForecast(
            images=sum(dataset.manifest.counts().values()),
            points=dataset.count(),
            source=source,
            target=home.location,
            pace=find_pace(settings, import_job(home)),
        )


def forecast_restore(settings: Settings, source: str) -> TransferForecast:
    """What `restore` of a backup would write: as its catalogue says, its files are not checked.

    Raises UsageError where images are recorded already, or there is no such folder, DatasetError
    for what is no backup.
    """
    home = IndexHome.current(settings)
    require_no_images(home, "to restore to")
    catalogue = _read_catalogue(source, settings)
    return TransferForecast(
        images=catalogue.images,
        points=catalogue.points,
        source=source,
        target=home.location,
        size_bytes=sum(entry.bytes for entry in catalogue.files.values()),
        pace=find_pace(settings, restore_job(home)),
    )


def forecast_migrate(settings: Settings, target: Settings) -> TransferForecast:
    """What `migrate` would write, as the manifest of the source says.

    Raises UsageError where images are recorded at the target, IndexMissingError where there is no
    source.
    """
    there = open_target(settings, target)
    home = IndexHome.current(settings)
    home.require_ingested()
    points = sum(row.points for row in home.manifest.latest() if row.state is State.DONE)
    return TransferForecast(
        images=sum(home.manifest.counts().values()),
        points=points + len(home.manifest.added.all()),
        source=home.location,
        target=there.location,
        pace=find_pace(settings, migrate_job(home, there)),
    )


def _read_catalogue(source: str, settings: Settings) -> Catalogue:
    if not source.startswith("s3://"):
        return require_catalogue(local_folder(source), source)
    with TemporaryDirectory(prefix="objseek-catalogue-") as name:
        # Without the file there is no catalogue, as in a folder without it.
        with suppress(ObjectGoneError):
            read = S3Prefix(source, settings.store).read(CATALOGUE)
            (Path(name) / CATALOGUE).write_bytes(read)
        return require_catalogue(Path(name), source)
