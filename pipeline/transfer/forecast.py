"""Says what a restore or a migration would do, and whether it would be refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.index_home import IndexHome
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import Catalogue, require_catalogue
from pipeline.transfer.dataset_storage import CATALOGUE, local_folder
from pipeline.transfer.import_target import require_no_images
from pipeline.transfer.migrate import open_target
from schemas.errors import ObjectGoneError
from schemas.manifest import State
from workers.stores.s3_prefix import S3Prefix


@dataclass(frozen=True, slots=True)
class TransferForecast:
    """What would be written to `target`. `size_bytes` of the files of a backup; None: not known."""

    images: int
    points: int
    source: str
    target: str
    size_bytes: int | None = None


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
