"""Reads batches of somebody else's rows into checked ones; wrong rows come with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.transfer.vectors.columns import NAMED, ColumnMapping
from pipeline.transfer.vectors.image_places import ImagePlaces
from pipeline.transfer.vectors.values import BoxForm, parse_box, parse_own, parse_sparse
from schemas.errors import one_line
from schemas.images import ImageRef
from schemas.named_vectors import NamedDims
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
    named: Mapping[str, Float32Vector]

    @property
    def is_object(self) -> bool:
        """Whether it is of a part of its image."""
        return self.box is not None or self.mask is not None


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows whose vectors have `dim` numbers, and named ones as `named_dims` says."""

    mapping: ColumnMapping
    dim: int
    places: ImagePlaces
    boxes: BoxForm
    named_dims: NamedDims

    def read(
        self, rows: pa.RecordBatch, places: Sequence[RowPlace]
    ) -> Iterator[VectorRow | RefusedRow]:
        """Every row in its order, or why it is none; `places` are theirs."""
        name = self.mapping.single["vector"]
        vectors, faults = unit_vectors(rows.column(name), self.dim)
        named = self._read_named(rows, faults)
        read = {name, *self.mapping.named.values()}
        fields = rows.drop_columns([*read]).to_pylist()
        for number, (values, place) in enumerate(zip(fields, places, strict=True)):
            try:
                if faults[number]:
                    raise ValueError(faults[number])
                row = self._parse(values, vectors[number], place)
                yield replace(row, named=named[number])
            except ValueError as exc:
                yield RefusedRow(place, one_line(exc))

    def _read_named(
        self, rows: pa.RecordBatch, faults: list[str]
    ) -> list[dict[str, Float32Vector]]:
        """The named vectors of each row, as far as it has them; what is wrong goes to `faults`."""
        found: list[dict[str, Float32Vector]] = [{} for _ in range(rows.num_rows)]
        for name, column in self.mapping.named.items():
            values = rows.column(column)
            there = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
            units, wrong = unit_vectors(values.drop_null(), self.named_dims[name], NAMED + name)
            for number, unit, fault in zip(there.tolist(), units, wrong, strict=True):
                faults[number] = faults[number] or fault
                found[number][name] = unit
        return found

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
            named={},
        )


def _parse_size(width: Any, height: Any) -> tuple[int, int] | None:
    if not width or not height:
        return None
    if not 0 < width <= _MOST_SIDE_PX or not 0 < height <= _MOST_SIDE_PX:
        raise ValueError(f"width: expected the image's in pixels, got {width} x {height}")
    return height, width


def unit_vectors(
    column: pa.Array, dim: int, field: str = "vector"
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """float32 (n, dim), unit rows, and for each why it is none; empty for a good one."""
    matrix, faults = _to_matrix(column, dim, field)
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
        faults[number] = (
            faults[number] or f"{field}: expected a finite one, got one that is {wrong}"
        )
    good = (finite & ~zero)[:, None]
    units = np.divide(scaled, length[:, None], out=np.zeros_like(scaled), where=good)
    return units.astype(np.float32), faults


def _to_matrix(column: pa.Array, dim: int, field: str) -> tuple[npt.NDArray[np.float64], list[str]]:
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
            faults[number] = f"{field}: expected one, got null"
        elif len(vector) != dim:
            faults[number] = f"{field}: expected {dim} numbers, got {len(vector)}"
        else:
            matrix[number] = np.array(vector, np.float64)
    return matrix, faults
