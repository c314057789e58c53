"""Converts points to Parquet rows and back, for every other program to read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from schemas.ids import (
    ADDED_ORDINAL,
    ImageRevision,
    added_object_id,
    image_id,
    object_id,
    shot_ordinal,
)
from schemas.images import ImageRef
from schemas.named_vectors import (
    NO_NAMED,
    NamedDims,
    named_columns,
    named_fields,
    read_named,
    stored_name,
)
from schemas.payload import OWN, PointPayload
from schemas.points import Point, SparseVector
from schemas.records import Float32Vector
from schemas.sparse_terms import check_terms
from schemas.tags import TAGS
from schemas.thumbnails import THUMBNAIL, parse_webp, to_text

_TIME = pa.timestamp("us", tz="UTC")
_RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
_PAYLOAD = (
    pa.field("kind", pa.string(), nullable=False),
    pa.field("ordinal", pa.int32(), nullable=False),
    pa.field("store", pa.string(), nullable=False),
    pa.field("bucket", pa.string(), nullable=False),
    pa.field("key", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("version", pa.string(), nullable=False),
    pa.field("generation", pa.string(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),
    pa.field("segmenter", pa.string(), nullable=False),
    pa.field("embedder", pa.string(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("bbox", pa.list_(pa.int32(), 4), nullable=False),
    pa.field("area", pa.int64(), nullable=False),
    pa.field("area_frac", pa.float64()),
    pa.field("predicted_iou", pa.float64()),
    pa.field("stability_score", pa.float64()),
    pa.field("rle", _RLE),
    pa.field("labels", pa.list_(pa.string())),
    pa.field("label_scores", pa.list_(pa.float64())),
    pa.field("label_logsumexp", pa.float64()),
    pa.field("labelled_by", pa.string()),
    pa.field("center_x_frac", pa.float64()),
    pa.field("center_y_frac", pa.float64()),
    pa.field("ingested_at", _TIME, nullable=False),
    pa.field("run_started_at", _TIME),
)
# Exports of older versions lack these columns.
_LATER = (
    pa.field("segmenter_label", pa.string()),
    pa.field("segmenter_score", pa.float64()),
    pa.field("level", pa.string()),
    pa.field("parent_id", pa.string()),
    pa.field("added", pa.bool_()),
    pa.field(THUMBNAIL, pa.binary()),
    pa.field("thumbnail_box", pa.list_(pa.int32(), 4)),
    pa.field("thumbnail_check", pa.string()),
    pa.field("t_start", pa.float64()),
    pa.field("t_end", pa.float64()),
    pa.field("t_key", pa.float64()),
    pa.field("duration", pa.float64()),
    pa.field("video_duration", pa.float64()),
    pa.field("frames", pa.int32()),
    pa.field("shot", pa.int32()),
    pa.field("mean_area_frac", pa.float64()),
    pa.field("motion", pa.float64()),
    pa.field(TAGS, pa.list_(pa.string())),
    pa.field(OWN, pa.string()),
)
# Likewise of later versions; beside the payload.
_SPARSE = (
    pa.field("sparse_indices", pa.list_(pa.uint32())),
    pa.field("sparse_values", pa.list_(pa.float32())),
)
# Indexes read numbers from JSON accurately but for the last bit: with fewer digits, a number that
# goes through another index stays the same.
_DIGITS = 15
_DIGEST_BYTES = 16


def points_schema(dim: int, named: NamedDims = NO_NAMED) -> pa.Schema:
    """One row a point: its id, its vector of `dim` numbers, its words, and its payload's fields.

    And the user's own sparse and `named` vectors, null where there is none. The thumbnail is a WebP
    file, and `own` is JSON.
    """
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dim), nullable=False),
            pa.field("word_indices", pa.list_(pa.uint32()), nullable=False),
            pa.field("word_values", pa.list_(pa.float32()), nullable=False),
            *_PAYLOAD,
            *_LATER,
            *_SPARSE,
            *named_fields(named),
        ]
    )


def read_dim(schema: pa.Schema) -> int:
    """How many numbers the vectors of a file have. Raises ValueError if it holds no points."""
    field = schema.field("vector") if "vector" in schema.names else None
    if field is None or not pa.types.is_fixed_size_list(field.type):
        raise ValueError("expected a column `vector` of fixed-size lists, got none")
    dim: int = field.type.list_size
    for column in points_schema(dim):
        if column.name not in schema.names:
            if column in (*_LATER, *_SPARSE):
                continue
            raise ValueError(f"expected a column {column.name!r}, got none")
        if schema.field(column.name).type != column.type:
            got = schema.field(column.name).type
            raise ValueError(f"expected {column.type} in column {column.name!r}, got {got}")
    return dim


def points_table(
    points: Sequence[Point], dim: int, named: NamedDims = NO_NAMED, *, all_digits: bool = False
) -> pa.Table:
    """Rows of points. Raises ValueError, which names the point, for one that cannot be a row.

    Numbers have 15 digits, which stay the same through any index, unless `all_digits` are kept.
    """
    columns: dict[str, list[Any]] = {field.name: [] for field in (*_PAYLOAD, *_LATER)}
    vectors, indices, values = [], [], []
    for point in points:
        try:
            payload = PointPayload.model_validate(dict(point.payload)).model_dump()
        except ValidationError as exc:
            fields = ", ".join(sorted({".".join(map(str, error["loc"])) for error in exc.errors()}))
            raise ValueError(f"point {point.id} is not one of objseek's ({fields})") from exc
        if point.vector is None or point.vector.shape != (dim,):
            raise ValueError(f"expected a vector of {dim} numbers, point {point.id} has another")
        if payload[THUMBNAIL] is not None:
            payload[THUMBNAIL] = parse_webp(payload[THUMBNAIL])
        if payload[OWN] is not None:
            payload[OWN] = json.dumps(payload[OWN], ensure_ascii=False)
        for name, column in columns.items():
            value = payload[name]
            column.append(value if all_digits else _to_column_value(value))
        vectors.append(point.vector)
        indices.append([] if point.words is None else point.words.indices.tolist())
        values.append([] if point.words is None else point.words.values.tolist())
    own = [point.sparse for point in points]
    flat = np.concatenate([np.zeros(0, np.float32), *vectors])
    arrays = {
        "id": [point.id for point in points],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), dim),
        "word_indices": indices,
        "word_values": values,
        "sparse_indices": [None if each is None else each.indices.tolist() for each in own],
        "sparse_values": [None if each is None else each.values.tolist() for each in own],
        **columns,
        **named_columns(points, named),
    }
    return pa.table(arrays, schema=points_schema(dim, named))


def _to_column_value(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, tuple):
        return [_to_column_value(item) for item in value]
    return value


def table_points(table: pa.Table) -> Iterator[Point | ValueError]:
    """The points of rows, in their order; for a row that cannot be a point, the error why."""
    dim = read_dim(table.schema)
    vectors = table["vector"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    if vectors.null_count or flat.size != table.num_rows * dim:
        yield from (ValueError("expected a vector in every row, got null") for _ in table["id"])
        return
    # Without time zones: these need a time zone database, which small containers lack.
    times = [name for name in table.column_names if table.schema.field(name).type == _TIME]
    scalars = table.drop_columns(["vector"])
    for name in times:
        position = scalars.schema.get_field_index(name)
        scalars = scalars.set_column(position, name, scalars[name].cast(pa.timestamp("us")))
    known = (*_PAYLOAD, *_LATER, *_SPARSE)
    fields = [field.name for field in known if field.name in scalars.column_names]
    rows = scalars.select(["id", "word_indices", "word_values", *fields])
    each_row = zip(rows.to_pylist(), flat.reshape(-1, dim), read_named(table), strict=True)
    for row, vector, named in each_row:
        try:
            yield replace(_parse_row(row, vector.astype(np.float32)), named_vectors=_checked(named))
        except ValueError as exc:
            yield exc


def _parse_row(row: dict[str, Any], vector: Float32Vector) -> Point:
    """The point of a row. Raises ValueError for one that no ingest writes."""
    identity, indices, values = row.pop("id"), row.pop("word_indices"), row.pop("word_values")
    if not np.isfinite(vector).all() or not vector.any():
        raise ValueError("expected a finite vector other than zero")
    if len(indices) != len(values) or len(set(indices)) != len(indices):
        raise ValueError("expected a value for each word, and each word once")
    if not np.isfinite(np.array(values, np.float32)).all():
        raise ValueError("expected finite word_values")
    sparse = _parse_sparse(row.pop("sparse_indices", None), row.pop("sparse_values", None))
    fields = {name: _parse_value(value) for name, value in row.items() if value is not None}
    if OWN in fields:
        fields[OWN] = json.loads(fields[OWN])
    try:
        payload = PointPayload.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from exc
    _check_identity(identity, payload)
    payload.check_shape()
    _check_times(payload)
    words = SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))
    stored: Mapping[str, Any] = payload.model_dump(mode="json", exclude_none=True)
    return Point(identity, stored, vector, words, sparse)


def _checked(named: Mapping[str, Float32Vector]) -> Mapping[str, Float32Vector]:
    """The same vectors. Raises ValueError for one that is not finite, or zero."""
    for name, vector in named.items():
        if not np.isfinite(vector).all() or not vector.any():
            raise ValueError(f"{stored_name(name)}: expected a finite vector other than zero")
    return named


def _parse_sparse(indices: list[int] | None, values: list[float] | None) -> SparseVector | None:
    """A user's own sparse vector, if the row has one. Raises ValueError for a wrong one."""
    if indices is None and values is None:
        return None
    try:
        check_terms(np.array(indices or (), np.uint32), np.array(values or (), np.float32))
    except (ValueError, TypeError) as exc:
        raise ValueError(f"sparse_indices, sparse_values: {exc}") from exc
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))


def _check_times(payload: PointPayload) -> None:
    """Raise ValueError unless what is in a video has times that fit each other."""
    times = (payload.t_start, payload.t_key, payload.t_end)
    if all(each is None for each in (*times, payload.frames, payload.shot)):
        return
    start_s, key_s, end_s = times
    if start_s is None or key_s is None or end_s is None or payload.shot is None:
        raise ValueError("t_start: expected all times and the shot of what is in a video, or none")
    if not 0 <= start_s <= key_s <= end_s < float("inf"):
        raise ValueError(f"t_key: expected a time from t_start to t_end, got {list(times)}")
    if payload.kind == "image" and payload.ordinal != shot_ordinal(payload.shot):
        raise ValueError(
            f"shot: expected the ordinal {shot_ordinal(payload.shot)}, got {payload.ordinal}"
        )


def _parse_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_text(value)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def point_digest(point: Point) -> int:
    """128 bits over a point's id, sparse vectors and payload, and which named vectors it has.

    But not over the numbers of dense vectors.
    """
    rounded = {name: _round(value) for name, value in point.payload.items()}
    parts = [point.id, rounded, _sorted_terms(point.words)]
    if point.sparse is not None:  # digests of points without one stay what they were
        parts.append(_sorted_terms(point.sparse))
    if point.named_vectors:
        parts.append({"named": sorted(point.named_vectors)})
    text = json.dumps(parts, sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest())


def _sorted_terms(vector: SparseVector | None) -> list[tuple[int, float]]:
    if vector is None:
        return []
    return sorted(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS - 1}g}")
    if isinstance(value, dict):
        return {name: _round(item) for name, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list) else value


def _check_identity(identity: str, payload: PointPayload) -> None:
    """Raise ValueError unless all ids follow from the uri, as those of an ingest do."""
    ref = ImageRef.from_uri(payload.uri, payload.version, 0)
    of_image = image_id(ref)
    if (payload.store, payload.bucket) != (ref.store, ref.bucket):
        raise ValueError(f"expected store and bucket of {payload.uri}, got others")
    if payload.image_id != str(of_image):
        raise ValueError(f"expected image_id {of_image} for {payload.uri}, got {payload.image_id}")
    revision = ImageRevision(payload.version, payload.fingerprint)
    if payload.generation != revision.id:
        raise ValueError(f"expected generation {revision.id}, got {payload.generation}")
    if (payload.ordinal == ADDED_ORDINAL) != bool(payload.added):
        raise ValueError(f"expected the ordinal {ADDED_ORDINAL} of what was added by hand alone")
    wanted = object_id(of_image, revision, payload.ordinal)
    if payload.added:
        wanted = added_object_id(
            of_image, payload.version, payload.rle.counts if payload.rle else ""
        )
    if identity != str(wanted):
        raise ValueError(f"expected id {wanted} for ordinal {payload.ordinal}, got {identity}")
