"""Says what a restore or a migration would do, and whether it would be refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.index_home import IndexHome
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import Catalogue, read_catalogue
from pipeline.transfer.dataset_storage import CATALOGUE
from schemas.errors import DatasetError, ObjectGoneError, UsageError
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

    Raises UsageError where it would be refused, DatasetError for what is no backup.
    """
    home = _require_empty(settings, "to restore to, there are images")
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

    Raises UsageError where it would be refused, IndexMissingError where there is no source.
    """
    if settings.index.location == target.index.location:
        raise UsageError(f"expected another place than {settings.index.location} to migrate to")
    empty = _require_empty(target, "to migrate to, there are images")
    home = IndexHome.current(settings)
    home.require_ingested()
    rows = list(home.manifest.latest())
    points = sum(row.points for row in rows if row.state is State.DONE)
    return TransferForecast(
        images=len(rows),
        points=points + len(home.manifest.added.all()),
        source=home.location,
        target=empty.location,
    )


def _require_empty(settings: Settings, why: str) -> IndexHome:
    home = IndexHome.current(settings)
    if any(home.manifest.counts().values()):
        raise UsageError(f"expected nothing at {home.location} {why}")
    return home


def _read_catalogue(source: str, settings: Settings) -> Catalogue:
    if not source.startswith("s3://"):
        return _require_catalogue(Path(source).expanduser(), source)
    with TemporaryDirectory(prefix="objseek-catalogue-") as name:
        path = Path(name) / CATALOGUE
        try:
            path.write_bytes(S3Prefix(source, settings.store).read(CATALOGUE))
        except ObjectGoneError as exc:
            raise DatasetError(f"{source} is no whole backup: it has no {CATALOGUE}") from exc
        return _require_catalogue(Path(name), source)


def _require_catalogue(folder: Path, source: str) -> Catalogue:
    catalogue = read_catalogue(folder)
    if catalogue is None:
        raise DatasetError(f"{source} is no whole backup: it has no {CATALOGUE}")
    return catalogue
