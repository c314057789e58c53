"""Parquet files of points into an index: all are looked at before the first is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.index_home import at_current
from pipeline.ingestion.session import index_exists
from pipeline.manifest.audit import Comparison
from pipeline.manifest.image_keys import keys_of
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest, open_manifest, parts_of
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_catalogue import IMAGES, POINTS, Catalogue, read_catalogue
from pipeline.transfer.dataset_storage import local_dataset
from schemas.dataset import read_dim, table_points
from schemas.errors import EmbedderMismatchError, UsageError, VectorIndexError
from schemas.points import Point
from workers.indexes.open import open_index

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

    Every row is looked at first: nothing is written unless all are good, and points and images fit
    each other. Images that the index has already are refused. Raises UsageError, or
    VectorIndexError that names file and row.
    """
    progress = progress or Progress()
    with local_dataset(source, settings.store, progress) as folder:
        catalogue = read_catalogue(folder)
        return bring_in(Dataset(folder, catalogue), settings, progress)


class Dataset:
    """An export in a folder, with its catalogue if it has one.

    Raises VectorIndexError where there is none.
    """

    def __init__(self, folder: Path, catalogue: Catalogue | None) -> None:
        self.folder = folder
        self._left_out = frozenset(catalogue.left_out if catalogue else ())
        self.pipelines = catalogue.pipelines if catalogue else ()
        self.manifest = Manifest(folder / IMAGES)
        self._files = sorted((folder / POINTS).rglob("*.parquet"))
        if not self.manifest.exists():
            raise VectorIndexError(
                f"expected the rows of images in {folder / IMAGES}, as an export has them, "
                "there is no such folder"
            )

    def dim(self) -> int | None:
        """How many numbers the vectors have, None without any file.

        Raises VectorIndexError for a file that is none of an export, or of other vectors.
        """
        dims = {file: _read_dim(file) for file in self._files}
        for file, dim in dims.items():
            if dim != dims[self._files[0]]:
                raise VectorIndexError(
                    f"expected vectors of {dims[self._files[0]]} numbers as in "
                    f"{self._files[0].name}, got {dim} in {self._told(file)}"
                )
        return dims[self._files[0]] if dims else None

    def points(self) -> Iterator[list[Point]]:
        """All points, some at a time. Raises VectorIndexError that names file and row."""
        for file in self._files:
            row = 0
            for table in self._tables(file):
                some = []
                for point in table_points(table):
                    row += 1
                    if isinstance(point, ValueError):
                        raise VectorIndexError(f"{self._told(file)}, row {row}: {point}")
                    if point.id not in self._left_out:
                        some.append(point)
                yield some

    def check_ids(self) -> None:
        """Raise VectorIndexError, which names the second one, if a point stands twice."""
        keys = [(file, keys_of(table["id"].combine_chunks())) for file in self._files
                for table in self._tables(file, ["id"])]  # fmt: skip
        if not keys:
            return
        together = np.concatenate([key for _, key in keys])
        order = np.lexsort((together[:, 1], together[:, 0]))
        again = (together[order][1:] == together[order][:-1]).all(axis=1)
        if not again.any():
            return
        place = int(order[1:][again].min())
        before: dict[Path, int] = {}
        for file, key in keys:
            if place < len(key):
                row = before.get(file, 0) + place + 1
                raise VectorIndexError(
                    f"{self._told(file)}, row {row}: expected every point once, its id stands twice"
                )
            place -= len(key)
            before[file] = before.get(file, 0) + len(key)

    def _tables(self, file: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        try:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(_ROWS_AT_ONCE, columns=columns):
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as exc:
            raise VectorIndexError(f"{self._told(file)} cannot be read: {_line(exc)}") from exc

    def _told(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


def bring_in(dataset: Dataset, settings: Settings, progress: Progress) -> ImportSummary:
    """Look at all of a dataset, then write it; see `import_dataset`."""
    settings = at_current(settings)
    manifest = open_manifest(settings.index, settings.store)
    exists = index_exists(settings.index)
    dim = dataset.dim()
    if dim is None:
        raise UsageError(f"there are no points in {dataset.folder}")
    _check_target(settings, dataset, manifest, dim, exists=exists)
    comparison = Comparison(dataset.manifest)
    _check_rows(dataset, comparison, progress)
    points = 0
    with closing(open_index(settings.index, dim, create=True)) as index:
        for some in dataset.points():
            index.restore(some)
            points += len(some)
            progress.note(f"{points:,} points written")
        # After all of the points: what ends before that is done again by the same command.
        KnownPipelines(parts_of(settings.index, settings.store)).describe(*dataset.pipelines)
        dataset.manifest.copy_to(manifest)
        manifest.compact()
    return ImportSummary(points, sum(dataset.manifest.counts().values()))


def _check_target(
    settings: Settings, dataset: Dataset, manifest: Manifest, dim: int, *, exists: bool
) -> None:
    location = settings.index.location
    if not exists and manifest.exists():
        raise UsageError(
            f"there is no index at {location}, but images of one are recorded: remove that record, "
            "or choose another place"
        )
    if exists:
        with closing(open_index(settings.index, None)) as index:
            if index.dim != dim:
                raise EmbedderMismatchError(
                    f"the index at {location} holds vectors of {index.dim} numbers, "
                    f"but what is to be imported has vectors of {dim}"
                )
    there = manifest.known(dataset.manifest)
    if there is not None:
        raise UsageError(
            f"expected images that are not in the index at {location} yet, it has {there}"
        )


def _check_rows(dataset: Dataset, comparison: Comparison, progress: Progress) -> None:
    seen = 0
    for some in dataset.points():
        for point in some:
            comparison.take_point(point)
        seen += len(some)
        progress.note(f"{seen:,} points looked at")
    dataset.check_ids()
    comparison.check()


def _read_dim(file: Path) -> int:
    try:
        return read_dim(pq.read_schema(file))
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise VectorIndexError(f"{file} is none of an export: {_line(exc)}") from exc


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
