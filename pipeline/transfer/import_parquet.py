"""Imports Parquet files of points into an index; all are checked before the first is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.index_home import IndexHome
from pipeline.kept_paces import note_pace
from pipeline.manifest.audit import Comparison
from pipeline.manifest.image_keys import keys_of
from pipeline.manifest.manifest import Manifest
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import IMAGES, POINTS, Catalogue, read_catalogue
from pipeline.transfer.dataset_storage import local_dataset
from pipeline.transfer.import_target import check_target
from schemas.dataset import read_dim, table_points
from schemas.errors import (
    DatasetError,
    ManifestError,
    NotIndexedError,
    UsageError,
    one_line,
)
from schemas.named_vectors import NamedDims, dims_of, merge_dims
from schemas.points import Point
from workers.indexes.location import kind_of

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was written."""

    points: int
    images: int


def import_dataset(
    settings: Settings, source: str, progress: Progress | None = None
) -> ImportSummary:
    """Bring an export into the index of `settings`, which is made if it is not there.

    Every row is checked first: nothing is written unless all are good, and points and images match.
    Images that the index has already are refused. Raises UsageError, DatasetError that
    names file and row.
    """
    progress, began = progress or Progress(), time.monotonic()
    home = IndexHome.current(settings)
    with local_dataset(source, settings.store, progress) as folder:
        catalogue = read_catalogue(folder)
        summary = bring_in(Dataset(folder, catalogue), home, progress)
    note_pace(settings, import_job(home), summary.points, time.monotonic() - began)
    return summary


def import_job(home: IndexHome) -> str:
    """By what name the pace of an import is kept."""
    return f"import to {kind_of(home.location)}"


class Dataset:
    """An export in a folder, with its catalogue if it has one.

    Raises DatasetError where there is none.
    """

    def __init__(self, folder: Path, catalogue: Catalogue | None) -> None:
        self.folder = folder
        self._left_out = frozenset(catalogue.left_out if catalogue else ())
        self.pipelines = catalogue.pipelines if catalogue else ()
        self.manifest = Manifest(folder / IMAGES)
        self._files = sorted((folder / POINTS).rglob("*.parquet"))
        if not self.manifest.exists():
            raise DatasetError(
                f"expected the rows of images in {folder / IMAGES}, as an export has them, "
                "there is no such folder"
            )

    def dim(self) -> int | None:
        """How many numbers the vectors have, None without any file.

        Raises DatasetError for a file that is not from an export, or has other vectors.
        """
        dims = {file: _read_dim(file) for file in self._files}
        for file, dim in dims.items():
            if dim != dims[self._files[0]]:
                raise DatasetError(
                    f"expected vectors of {dims[self._files[0]]} numbers as in "
                    f"{self._files[0].name}, got {dim} in {self._name(file)}"
                )
        return dims[self._files[0]] if dims else None

    def count(self) -> int:
        """How many points there are. Raises DatasetError for a file that is not from an export."""
        rows = sum(_count_rows(file) for file in self._files)
        return rows - len(self._left_out)

    def named_dims(self) -> dict[str, int]:
        """How many numbers the named vectors have that any file has a column of, by name.

        Raises DatasetError for a file that has others than one before it.
        """
        found: dict[str, int] = {}
        for file in self._files:
            try:
                found = merge_dims(found, dims_of(pq.read_schema(file)))
            except ValueError as exc:
                raise DatasetError(f"{self._name(file)}: {exc}") from exc
        return found

    def points(self) -> Iterator[list[Point]]:
        """All points, in batches. Raises DatasetError that names file and row."""
        for file in self._files:
            row = 0
            for table in self._tables(file):
                points = []
                for point in table_points(table):
                    row += 1
                    if isinstance(point, ValueError):
                        raise DatasetError(f"{self._name(file)}, row {row}: {point}")
                    if point.id not in self._left_out:
                        points.append(point)
                yield points

    def check_ids(self) -> None:
        """Raise DatasetError, which names the second one, if a point stands twice."""
        keys = [(file, keys_of(table["id"].combine_chunks())) for file in self._files
                for table in self._tables(file, ["id"])]  # fmt: skip
        if not keys:
            return
        together = np.concatenate([key for _, key in keys])
        order = np.lexsort((together[:, 1], together[:, 0]))
        again = (together[order][1:] == together[order][:-1]).all(axis=1)
        if not again.any():
            return
        repeated = int(order[1:][again].min())
        before: dict[Path, int] = {}
        for file, key in keys:
            if repeated < len(key):
                row = before.get(file, 0) + repeated + 1
                raise DatasetError(
                    f"{self._name(file)}, row {row}: expected every point once, its id stands twice"
                )
            repeated -= len(key)
            before[file] = before.get(file, 0) + len(key)

    def check_tracks(self) -> None:
        """Raise DatasetError for masks of a video that are damaged. It is no error to lack them."""
        for row in self.manifest.select_rows(pc.field("shots") > 0):
            try:
                self.manifest.tracks.check(row.image_id, row.generation, row.objects)
            except NotIndexedError:
                continue
            except ManifestError as exc:
                raise DatasetError(f"{exc} ({row.uri})") from exc

    def _tables(self, file: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        try:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=columns):
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as exc:
            raise DatasetError(f"{self._name(file)} cannot be read: {one_line(exc)}") from exc

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


def bring_in(dataset: Dataset, home: IndexHome, progress: Progress) -> ImportSummary:
    """Look at all of a dataset, then write it; see `import_dataset`."""
    exists = home.exists()
    dim = dataset.dim()
    if dim is None:
        raise UsageError(f"there are no points in {dataset.folder}")
    named = dataset.named_dims()
    _check_target(home, dataset, dim, named, exists=exists)
    comparison = Comparison(dataset.manifest)
    _check_rows(dataset, comparison, progress)
    points = 0
    with home.points(create_for=dim, named=named) as index:
        for batch in dataset.points():
            index.restore(batch)
            points += len(batch)
            progress.note(f"{points:,} points written")
        # After all of the points: what ends before that is done again by the same command.
        home.pipelines.describe(*dataset.pipelines)
        dataset.manifest.copy_to(home.manifest)
        home.manifest.compact()
    return ImportSummary(points, sum(dataset.manifest.counts().values()))


def _check_target(
    home: IndexHome, dataset: Dataset, dim: int, named: NamedDims, *, exists: bool
) -> None:
    check_target(home, dim, named, exists=exists)
    require_no_shared(home, dataset)


def require_no_shared(home: IndexHome, dataset: Dataset) -> None:
    """Raise UsageError, which names the first, if the index has an image of the dataset."""
    present = home.manifest.find_shared_uri(dataset.manifest)
    if present is not None:
        raise UsageError(
            f"expected images that are not in the index at {home.location} yet, it has {present}"
        )


def _check_rows(dataset: Dataset, comparison: Comparison, progress: Progress) -> None:
    seen = 0
    for batch in dataset.points():
        for point in batch:
            comparison.take_point(point)
        seen += len(batch)
        progress.note(f"{seen:,} points looked at")
    dataset.check_ids()
    comparison.check(DatasetError)
    dataset.check_tracks()


def _count_rows(file: Path) -> int:
    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowException, OSError) as exc:
        raise DatasetError(f"{file} is not from an export: {one_line(exc)}") from exc


def _read_dim(file: Path) -> int:
    try:
        return read_dim(pq.read_schema(file))
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DatasetError(f"{file} is not from an export: {one_line(exc)}") from exc
