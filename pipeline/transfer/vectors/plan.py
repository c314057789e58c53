"""Plans an import of somebody else's vectors: what is what, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from pipeline.settings import Settings
from pipeline.transfer.sources.row_source import RowSource
from pipeline.transfer.vectors.columns import ColumnMapping, choose_columns
from pipeline.transfer.vectors.image_places import ImagePlaces
from pipeline.transfer.vectors.rows import RowReader
from pipeline.transfer.vectors.values import BoxForm
from schemas.errors import DatasetError, UnknownModelError
from schemas.ids import fingerprint
from schemas.named_vectors import NamedDims
from schemas.options import CropOptions, DecodeOptions
from schemas.payload import OWN, OwnKind
from schemas.pipelines import IMPORTED, Pipeline
from workers.registry import check_embedder

OWN_EMBEDDER = "own"
"""The name of an embedder that nobody has named."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user says of the rows.

    `columns`: those that give a field, by field. `images`: where names of images are below.
    `strict`: a row that is wrong keeps all from being written. `checked`: vectors are held against
    those that the named embedder makes of a few images.
    """

    columns: Mapping[str, tuple[str, ...]]
    images: str | None = None
    boxes: BoxForm = BoxForm.XYXY
    strict: bool = False
    checked: bool = True


@dataclass(frozen=True)
class ImportPlan:
    """What an import will do. `is_known`: objseek has the embedder, and can embed texts with it.

    Vectors have `dim` numbers, named ones as `named_dims` says.
    """

    source: RowSource
    mapping: ColumnMapping
    dim: int
    embedder: str
    is_known: bool
    options: ImportOptions
    places: ImagePlaces
    named_dims: NamedDims

    @property
    def uri_column(self) -> str:
        return self.mapping.single["uri"]

    @property
    def reader(self) -> RowReader:
        """What reads the rows."""
        return RowReader(self.mapping, self.dim, self.places, self.options.boxes, self.named_dims)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What stands for the rows and what is made of them: other rows are another pipeline."""
        contents = {
            "rows": self.source.digest(),
            "columns": {each.field: each.columns for each in self.mapping.choices},
            "own": dict(self.mapping.own),
            "boxes": self.options.boxes.value,
        }
        return Pipeline.of(
            (IMPORTED, fingerprint(contents)),
            (self.embedder, fingerprint({"vectors of": self.embedder})),
            DecodeOptions(),
            CropOptions(),
        )

    def own_kinds(self) -> dict[str, OwnKind]:
        """The kind of each field of the user's own, by the name that filters have for it."""
        return {
            f"{OWN}.{name}": _kind_of(self.source.schema.field(column).type)
            for column, name in self.mapping.own.items()
        }


def plan_import(source: RowSource, settings: Settings, options: ImportOptions) -> ImportPlan:
    """Look at a source's columns and its first vectors.

    Raises UsageError where it cannot be told what is what, DatasetError without any vector.
    """
    mapping, named_dims = _find_named(source, choose_columns(source.schema, options.columns))
    is_named = "name" in settings.embedder.model_fields_set
    try:
        check_embedder(settings.embedder)
        is_known = is_named
    except UnknownModelError:
        is_known = False
    return ImportPlan(
        source=source,
        mapping=mapping,
        dim=_require_dim(source, mapping.single["vector"]),
        embedder=settings.embedder.name if is_named else OWN_EMBEDDER,
        is_known=is_known,
        options=options,
        places=ImagePlaces(options.images, settings.store),
        named_dims=named_dims,
    )


def _find_named(source: RowSource, mapping: ColumnMapping) -> tuple[ColumnMapping, dict[str, int]]:
    """How many numbers the named vectors have; a column without any is left out."""
    dims = {}
    for name, column in mapping.named.items():
        dim = _find_dim(source, column)
        if dim is None:
            mapping = mapping.without_named(name, "no vector in any row")
        else:
            dims[name] = dim
    return mapping, dims


def _require_dim(source: RowSource, column: str) -> int:
    dim = _find_dim(source, column)
    if dim is None:
        raise DatasetError(f"expected vectors in the column {column!r} of {source.name}, got none")
    return dim


def _find_dim(source: RowSource, column: str) -> int | None:
    kind = source.schema.field(column).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in source.batches([column]):
        for vector in batch.rows.column(0):
            if vector.is_valid and len(vector):
                return len(vector)
    return None


def _kind_of(kind: pa.DataType) -> OwnKind:
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    return "text"
