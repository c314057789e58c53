"""Takes points from a collection of a Qdrant server that something else has filled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from qdrant_client import models

from pipeline.transfer.sources.row_source import ROWS_AT_ONCE, SourceBatch
from schemas.errors import DatasetError, one_line
from schemas.options import IndexOptions
from workers.indexes.location import server_address
from workers.indexes.server.connection import connect, raising_index_errors

_AT_ONCE = 512  # an answer holds the vectors of all
_ID = "id"
_UNNAMED = "vector"
_SPARSE = pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))])


class QdrantSource:
    """See `RowSource`. Columns are `id`, each vector by its name, and the payload's fields.

    Which fields there are, and their types, the first `ROWS_AT_ONCE` points tell. Raises what an
    index on a server does.
    """

    def __init__(self, place: str, options: IndexOptions) -> None:
        self._address = server_address(place)
        self._client = connect(self._address, options)
        self.name = f"the collection {self._address.collection} at {self._address.url}"
        with raising_index_errors(self._address):
            details = self._client.get_collection(self._address.collection)
            self.rows = self._client.count(self._address.collection, exact=True).count
        self._vectors = _vector_fields(details)
        first: list[Any] = []
        for records in self._scroll(with_vectors=False):
            first += records
            if len(first) >= ROWS_AT_ONCE:
                break
        names = dict.fromkeys(name for each in first for name in each.payload or {})
        fields = [self._payload_field(name, first) for name in names if name not in self._vectors]
        own_id = [] if _ID in names else [pa.field(_ID, pa.string())]
        self.schema = pa.schema([*own_id, *fields, *self._vectors.values()])
        self._id_is_ours = bool(own_id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def digest(self) -> str:
        # A collection has no version: all of it is read.
        hasher = hashlib.blake2b(digest_size=16)
        for records in self._scroll(with_vectors=True):
            for record in records:
                hasher.update(record.model_dump_json().encode("utf-8", "surrogatepass"))
        return hasher.hexdigest()

    def batches(self, columns: Sequence[str]) -> Iterator[SourceBatch]:
        row = 1
        wants_vectors = any(name in self._vectors for name in columns)
        for records in self._scroll(with_vectors=wants_vectors):
            arrays = [pa.array(*self._column(name, records)) for name in columns]
            batch = pa.record_batch(arrays, names=list(columns))
            yield SourceBatch(self._address.collection, row, batch)
            row += len(records)

    def _column(self, name: str, records: Sequence[Any]) -> tuple[list[Any], pa.DataType]:
        kind = self.schema.field(name).type
        if name in self._vectors:
            return [_vector(record, name) for record in records], kind
        if name == _ID and self._id_is_ours:
            return [str(record.id) for record in records], kind
        values = [(record.payload or {}).get(name) for record in records]
        try:
            pa.array(values, kind)
        except (pa.ArrowException, OverflowError) as exc:
            raise DatasetError(
                f"expected values of one type in the field {name!r} of {self.name}: {one_line(exc)}"
            ) from exc
        return values, kind

    def _payload_field(self, name: str, records: Sequence[Any]) -> pa.Field:
        values = [(record.payload or {}).get(name) for record in records]
        try:
            return pa.field(name, pa.array(values).type)
        except (pa.ArrowException, OverflowError):  # left out, unless it is asked for
            return pa.field(name, pa.null())

    def _scroll(self, *, with_vectors: bool) -> Iterator[list[Any]]:
        offset: Any = None
        while True:
            with raising_index_errors(self._address):
                records, offset = self._client.scroll(
                    self._address.collection,
                    limit=_AT_ONCE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=with_vectors,
                )
            if records:
                yield records
            if offset is None:
                return


def _vector_fields(details: models.CollectionInfo) -> dict[str, pa.Field]:
    """The vectors of a collection by name, each as a column."""
    params = details.config.params
    dense = params.vectors or {}
    if isinstance(dense, models.VectorParams):
        dense = {_UNNAMED: dense}
    fields = {
        name: pa.field(name, pa.list_(pa.float32(), each.size))
        for name, each in dense.items()
        if each.multivector_config is None
    }
    return fields | {name: pa.field(name, _SPARSE) for name in params.sparse_vectors or {}}


def _vector(record: Any, name: str) -> Any:
    held = record.vector
    if isinstance(held, dict):
        held = held.get(name)
    if isinstance(held, models.SparseVector):
        return {"indices": held.indices, "values": held.values}
    return held
