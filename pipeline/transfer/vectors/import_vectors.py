"""Imports somebody else's vectors into an index, image by image; goes on where it was ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby

from pipeline.index_home import IndexHome
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.import_target import check_target
from pipeline.transfer.sources.open_source import open_source
from pipeline.transfer.vectors.embedder_check import check_vectors
from pipeline.transfer.vectors.grouping import RowOrder, find_order, grouped_rows
from pipeline.transfer.vectors.imported_images import ImageBuilder, ImportedImage
from pipeline.transfer.vectors.kept_objects import AddedByHand
from pipeline.transfer.vectors.plan import ImportOptions, ImportPlan, plan_import
from pipeline.transfer.vectors.rows import RefusedRow, VectorRow
from schemas.errors import DatasetError
from schemas.images import ImageRef
from workers.protocols import VectorIndex
from workers.stores.open import find

_POINTS_AT_ONCE = 2048
_COMPACTED_EVERY = 200  # batches, each a part of the manifest
_MOST_KEPT = 1000  # refused rows


@dataclass(slots=True)
class VectorImport:
    """What an import has come to so far.

    `rows` were read; `written` images with `objects` objects, `wholes` as a whole; `unchanged`
    images were there already. `refused` are the first of `refused_count` rows.
    """

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    objects: int = 0
    wholes: int = 0
    refused_count: int = 0
    refused: list[RefusedRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, rows: Sequence[RefusedRow]) -> None:
        """Count rows, and keep the first."""
        self.refused_count += len(rows)
        self.refused += rows[: _MOST_KEPT - len(self.refused)]


def import_vectors(
    settings: Settings,
    place: str,
    options: ImportOptions,
    announce: Callable[[ImportPlan], bool],
    progress: Progress | None = None,
) -> VectorImport:
    """Bring the rows at a place into the index of `settings`, which is made if it is not there.

    `announce` is told the plan before anything is written, and says whether to go on. What the
    index has of an image is replaced by its rows; images that are there with these rows already are
    left alone, so that the same call goes on where one was ended. Rows that are wrong are left out
    and listed; if `strict`, nothing is written then. Raises UsageError, DatasetError,
    EmbedderMismatchError, and what the index does.
    """
    progress = progress or Progress()
    with open_source(place, settings, progress) as source:
        plan = plan_import(source, settings, options)
        if not announce(plan):
            return VectorImport()
        return _Run(plan, settings, progress).do()


@dataclass
class _Run:
    """One import."""

    plan: ImportPlan
    settings: Settings
    progress: Progress
    result: VectorImport = field(default_factory=VectorImport)

    def do(self) -> VectorImport:
        home = IndexHome.current(self.settings)
        named = self.plan.named_dims
        check_target(home, self.plan.dim, named, exists=home.exists())
        if self.plan.is_known and self.plan.options.checked:
            self.result.notes.append(check_vectors(self.plan, self.settings, self.progress))
        order = find_order(
            self.plan.source,
            self.plan.uri_column,
            self.plan.places.locate,
            lambda rows: self.progress.note(f"{rows:,} rows looked at"),
        )
        builder = ImageBuilder(self.plan.pipeline, datetime.now(UTC))
        if self.plan.options.strict:
            self._check_all(order, builder)
        with home.points(create_for=self.plan.dim, named=named) as index:
            index.require_writable()
            home.pipelines.describe(self.plan.pipeline)
            self._write_all(self._images(order, builder), home, index, builder)
        return self.result

    def _check_all(self, order: RowOrder, builder: ImageBuilder) -> None:
        for _ in self._images(order, builder):
            if self.result.refused:
                raise DatasetError(f"{self.result.refused[0]}: nothing was written")
        if self.result.refused:
            raise DatasetError(f"{self.result.refused[0]}: nothing was written")
        self.result = replace(self.result, rows=0)

    def _images(self, order: RowOrder, builder: ImageBuilder) -> Iterator[ImportedImage]:
        """Every image of the source; rows that are wrong are counted."""
        for _, rows in groupby(self._rows(order), key=lambda row: _identity(row.ref)):
            of_image = list(rows)
            ref = of_image[0].ref
            image, refused = builder.build(self._in_its_version(ref), of_image)
            self.result.refuse(refused)
            if image is not None:
                yield image

    def _rows(self, order: RowOrder) -> Iterator[VectorRow]:
        plan, reader = self.plan, self.plan.reader
        for placed in grouped_rows(
            plan.source, plan.mapping.read, plan.uri_column, order, plan.places.locate
        ):
            for row in reader.read(placed.rows, placed.places):
                self.result.rows += 1
                if isinstance(row, RefusedRow):
                    self.result.refuse([row])
                else:
                    yield row

    def _in_its_version(self, ref: ImageRef) -> ImageRef:
        """Of a file as it is now; a bucket would be asked for every image."""
        if ref.version or ref.store != "file":
            return ref
        return find(ref, self.settings.store) or ref

    def _write_all(
        self,
        images: Iterator[ImportedImage],
        home: IndexHome,
        index: VectorIndex,
        builder: ImageBuilder,
    ) -> None:
        finished = home.manifest.finished_images(self.plan.pipeline.fingerprint)
        added = AddedByHand(home.manifest, index)
        for number, batch in enumerate(_in_batches(images), start=1):
            known = finished.has([image.ref for image in batch])
            fresh = [image for image, done in zip(batch, known, strict=True) if not done]
            self.result.unchanged += len(batch) - len(fresh)
            later = index.replace_points(
                {image.id: [*image.points, *added.of(image)] for image in fresh},
                builder.run_started_at,
            )
            written = [image for image in fresh if image.id not in later]
            home.manifest.append([image.row(builder.run_started_at) for image in written])
            home.manifest.flush()
            self._count(written)
            if number % _COMPACTED_EVERY == 0:
                home.manifest.compact()
        home.manifest.compact()

    def _count(self, images: Sequence[ImportedImage]) -> None:
        self.result.written += len(images)
        self.result.objects += sum(image.objects for image in images)
        self.result.wholes += sum(len(image.points) - image.objects for image in images)
        self.progress.note(
            f"{self.result.rows:,} of {self.plan.source.rows:,} rows, "
            f"{self.result.written:,} images written"
        )


def _identity(ref: ImageRef) -> tuple[str, str, str]:
    return ref.store, ref.bucket, ref.key


def _in_batches(images: Iterator[ImportedImage]) -> Iterator[list[ImportedImage]]:
    batch: list[ImportedImage] = []
    points = 0
    for image in images:
        batch.append(image)
        points += len(image.points)
        if points >= _POINTS_AT_ONCE:
            yield batch
            batch, points = [], 0
    if batch:
        yield batch
