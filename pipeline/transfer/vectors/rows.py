"""Reads batches of somebody else's rows into checked ones; wrong rows come with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.transfer.vectors.columns import ColumnMapping
from pipeline.transfer.vectors.image_places import ImagePlaces
from pipeline.transfer.vectors.values import BoxForm, parse_box, parse_own, parse_sparse
from schemas.errors import one_line
from schemas.images import ImageRef
from schemas.payload import OwnValue
from schemas.points import SparseVector
from schemas.records import Float32Vector
from schemas.search import Box

_MOST_SIDE_PX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row stands: its file, and its number there, from 1."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}, row {self.row:,}"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be imported."""

    place: RowPlace
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class VectorRow:
    """A row: the image that it is of, in no version yet, and what it has beside its unit vector.

    `mask` is as it stands, as its size may be that of the image, which another row may tell.
    """

    place: RowPlace
    ref: ImageRef
    vector: Float32Vector
    box: Box | None
    mask: Any
    size_hw: tuple[int, int] | None
    text: str | None
    sparse: SparseVector | None
    own: Mapping[str, OwnValue]

    @property
    def is_object(self) -> bool:
        """Whether it is of a part of its image."""
        return self.box is not None or self.mask is not None


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows whose vectors have `dim` numbers."""

    mapping: ColumnMapping
    dim: int
    places: ImagePlaces
    boxes: BoxForm

    def read(
        self, rows: pa.RecordBatch, places: Sequence[RowPlace]
    ) -> Iterator[VectorRow | RefusedRow]:
        """Every row in its order, or why it is none; `places` are theirs."""
        name = self.mapping.single["vector"]
        vectors, faults = unit_vectors(rows.column(name), self.dim)
        fields = rows.drop_columns([name]).to_pylist()
        for number, (values, place) in enumerate(zip(fields, places, strict=True)):
            try:
                if faults[number]:
                    raise ValueError(faults[number])
                yield self._parse(values, vectors[number], place)
            except ValueError as exc:
                yield RefusedRow(place, one_line(exc))

    def _parse(
        self, values: Mapping[str, Any], vector: Float32Vector, place: RowPlace
    ) -> VectorRow:
        single = self.mapping.single

        def of(field: str) -> Any:
            return values[single[field]] if field in single else None

        box, text = of("bbox"), of("text")
        sparse = [values[name] for name in self.mapping.columns_of("sparse")]
        own = {
            name: parsed
            for column, name in self.mapping.own.items()
            if (parsed := parse_own(values[column])) is not None
        }
        ref = self.places.locate(of("uri"))
        version = of("version")
        if version:
            ref = ImageRef(ref.store, ref.bucket, ref.key, version.strip('"'), 0)
        return VectorRow(
            place=place,
            ref=ref,
            vector=vector,
            box=None if box is None else parse_box(box, self.boxes),
            mask=of("mask"),
            size_hw=_parse_size(of("width"), of("height")),
            text=text or None,
            sparse=parse_sparse(sparse) if sparse else None,
            own=own,
        )


def _parse_size(width: Any, height: Any) -> tuple[int, int] | None:
    if not width or not height:
        return None
    if not 0 < width <= _MOST_SIDE_PX or not 0 < height <= _MOST_SIDE_PX:
        raise ValueError(f"width: expected the image's in pixels, got {width} x {height}")
    return height, width


def unit_vectors(column: pa.Array, dim: int) -> tuple[npt.NDArray[np.float32], list[str]]:
    """float32 (n, dim), unit rows, and for each why it is none; empty for a good one."""
    matrix, faults = _to_matrix(column, dim)
    finite = np.isfinite(matrix).all(axis=1)
    largest = np.abs(matrix).max(axis=1, initial=0.0, where=np.isfinite(matrix))
    # By its largest number first: the squares of huge and of tiny ones are no numbers any more.
    scaled = np.divide(
        matrix, largest[:, None], out=np.zeros_like(matrix), where=(largest > 0)[:, None]
    )
    with np.errstate(invalid="ignore"):
        length = np.linalg.norm(scaled, axis=1)
    zero = finite & (length == 0)
    for number in np.flatnonzero(~finite | zero).tolist():
        wrong = "zero" if zero[number] else "not finite"
        faults[number] = faults[number] or f"vector: expected a finite one, got one that is {wrong}"
    good = (finite & ~zero)[:, None]
    units = np.divide(scaled, length[:, None], out=np.zeros_like(scaled), where=good)
    return units.astype(np.float32), faults


def _to_matrix(column: pa.Array, dim: int) -> tuple[npt.NDArray[np.float64], list[str]]:
    if not column.null_count:
        flat = column.flatten()
        lengths = (
            np.full(len(column), column.type.list_size)
            if pa.types.is_fixed_size_list(column.type)
            else np.diff(column.offsets.to_numpy())
        )
        if (lengths == dim).all():
            numbers = flat.to_numpy(zero_copy_only=False).astype(np.float64)
            return numbers.reshape(-1, dim), [""] * len(column)
    matrix, faults = np.ones((len(column), dim)), [""] * len(column)
    for number, vector in enumerate(column.to_pylist()):
        if vector is None:
            faults[number] = "vector: expected one, got null"
        elif len(vector) != dim:
            faults[number] = f"vector: expected {dim} numbers, got {len(vector)}"
        else:
            matrix[number] = np.array(vector, np.float64)
    return matrix, faults
