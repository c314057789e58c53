"""Keeps an index in a folder with Qdrant Edge, the Rust engine in this process."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import qdrant_edge as edge

from schemas.errors import (
    IndexUnavailableError,
)
from schemas.payload import OwnKind
from schemas.points import IndexQuery, Point, PointLabels, ScoredPoint, SparseVector
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Matrix, Float32Vector
from schemas.tags import TAGS, ChangeTags, Tags
from workers.indexes.edge.copies import SHARD, give_copies
from workers.indexes.edge.disk_room import (
    OPEN_RESERVE,
    WRITE_RESERVE,
    check_room,
    measure,
)
from workers.indexes.edge.engine_errors import raising_index_errors
from workers.indexes.edge.folder_lock import FolderLock
from workers.indexes.edge.queries import (
    WITHOUT_THUMBNAIL,
    max_failing,
    meets,
    nearest_request,
    neighbour_request,
    ranking_request,
    sample_request,
    sparse_request,
    usual_tests,
    without_usual_tests,
)
from workers.indexes.edge.schema import (
    MOST_UNTIDIED,
    add_own_fields,
    add_sparse,
    has_sparse,
    read_named,
)
from workers.indexes.edge.vectors import to_sparse, to_vectors
from workers.indexes.filters import EVERY_POINT, PointFilter, to_edge_filter
from workers.indexes.pages import PAGE, Offset, turn_pages
from workers.indexes.point_index import PointIndex, PointsOf
from workers.indexes.points import (
    THUMBNAIL_FIELDS,
    json_bytes,
    labels_payload,
    read_record,
    read_scored,
    read_scores,
)
from workers.indexes.tags import plan_tags

_FACETS = 10_000
# Write-ahead log, vectors, payload storage and payload indexes.
_COPIES = 4


class EdgeIndex(PointIndex):
    """An open shard; this process owns it until `close`. Not to be used after a fork.

    Threads may share it: they take turns.
    """

    def __init__(
        self, folder: Path, dim: int, upsert_batch: int, shard: edge.EdgeShard, lock: FolderLock
    ) -> None:
        super().__init__(dim, upsert_batch)
        self._folder = folder
        self._shard, self._lock = shard, lock
        self._turn = threading.RLock()
        self._written = False
        self._sparse = has_sparse(folder / SHARD)
        self._named = read_named(folder / SHARD)
        self._untidied = 0
        self._closed = False
        # Of a copy: what it is one of, and the folder that goes with it.
        self._original: Path | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None

    def become_copy(self, original: Path, copy: tempfile.TemporaryDirectory[str]) -> None:
        """From now on refuse to be written to, and remove `copy` at the end."""
        self._original, self._copy = original, copy

    def close(self) -> None:
        """Release the folder; reclaim what was replaced, if the disk has room for it."""
        if self._closed:
            return
        self._closed = True
        with self._using():
            try:
                if self._written:
                    self.optimize()
            finally:
                self._shard.close()
                self._lock.release()
                if self._copy is not None:
                    self._copy.cleanup()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._turn, raising_index_errors(self._folder):
            yield

    def replace_all(
        self, images: Sequence[str], points_of: PointsOf, run_started_at: datetime
    ) -> set[UUID]:
        superseded = super().replace_all(images, points_of, run_started_at)
        self._tidy_when_due()
        return superseded

    def restore(self, points: Sequence[Point]) -> None:
        super().restore(points)
        self._tidy_when_due()

    def index_own_fields(self, fields: Mapping[str, OwnKind]) -> None:
        self.require_writable()
        with self._using():
            add_own_fields(self._shard, fields)

    def _tidy_when_due(self) -> None:
        if self._untidied >= MOST_UNTIDIED:
            self.optimize()

    def optimize(self) -> None:
        """Reclaim what was replaced, and move points out of memory, if the disk has room."""
        self._untidied = 0
        with self._using():
            room = shutil.disk_usage(self._folder).free
            if room > 2 * self.size_bytes() + WRITE_RESERVE:
                self._shard.optimize()
                self._shard.flush()

    def upsert(self, points: Sequence[Point], over: PointFilter = EVERY_POINT) -> None:
        written = [edge.Point(each.id, to_vectors(each), dict(each.payload)) for each in points]
        room = WRITE_RESERVE + _COPIES * sum(map(json_bytes, points))
        if not self._sparse and any(point.sparse is not None for point in points):
            self._add_sparse(room)
        self._update(edge.UpdateOperation.upsert_points(written, to_edge_filter(over)), room=room)
        self._untidied += len(points)

    def _add_sparse(self, room: int) -> None:
        self.require_writable()
        with self._using():
            check_room(self._folder, room)
            add_sparse(self._shard)
            self._sparse = True

    def delete(self, where: PointFilter) -> None:
        filtered = to_edge_filter(where)
        if filtered is None:
            raise ValueError("a filter that every point meets would delete them all")
        self._update(edge.UpdateOperation.delete_points_by_filter(filtered), room=OPEN_RESERVE)

    def require_writable(self) -> None:
        if self._original is not None:
            raise IndexUnavailableError(
                f"expected an index that can be written to, {self._original} can only be read"
            )

    def _update(self, *operations: edge.UpdateOperation, room: int) -> None:
        self.require_writable()
        with self._using():
            check_room(self._folder, room)
            self._written = True
            for operation in operations:
                self._shard.update(operation)

    def flush(self) -> None:
        with self._using():
            self._shard.flush()
            give_copies(self._folder, self._shard.flush)

    def warm_up(self) -> None:
        """Nothing to do: it is on this machine."""

    def give_copies(self) -> None:
        # A flush does the same.
        with self._using():
            give_copies(self._folder, self._shard.flush)

    def find_nearest(
        self,
        vector: Float32Vector,
        where: PointFilter,
        limit: int,
        threshold: float | None,
        *,
        exact: bool = False,
        name: str = VECTOR_NAME,
    ) -> list[ScoredPoint]:
        if not exact and (usual := usual_tests(where)):
            # What nearly every point meets is tested on the nearest points alone: the engine would
            # test it in each segment, which takes longer than comparing vectors.
            rest, more = without_usual_tests(where), limit + limit // 2 + max_failing(usual)
            near = self._query(nearest_request(vector, rest, more, threshold, name=name))
            meeting = [point for point in near if meets(point, usual)]
            if len(meeting) >= limit or len(near) < more:
                return meeting[:limit]
        request = nearest_request(vector, where, limit, threshold, exact=exact, name=name)
        return self._query(request)

    def find_neighbours(
        self, vectors: Float32Matrix, where: PointFilter, limit: int, threshold: float
    ) -> list[list[tuple[UUID, float]]]:
        requests = [neighbour_request(vector, where, limit, threshold) for vector in vectors]
        with self._using():
            return list(map(read_scores, self._shard.query_batch(edge.QueryBatchRequest(requests))))

    def find_by_sparse(
        self, name: str, vector: SparseVector, where: PointFilter, limit: int
    ) -> list[tuple[UUID, float]]:
        return read_scores(self._send(sparse_request(name, vector, where, limit)))

    def rank(self, query: IndexQuery, where: PointFilter, pool: int) -> list[UUID]:
        points = self._send(ranking_request(query, where, pool))
        if query.diversity:
            return [UUID(str(point.id)) for point in points]
        return [identity for identity, _ in read_scores(points)]

    def _query(self, request: edge.QueryRequest) -> list[ScoredPoint]:
        return list(map(read_scored, self._send(request)))

    def _send(self, request: edge.QueryRequest) -> list[edge.ScoredPoint]:
        with self._using():
            return self._shard.query(request)

    def set_labels(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        existing = {point.id for point in self.retrieve([UUID(item.point_id) for item in items])}
        items = [item for item in items if str(UUID(item.point_id)) in existing]
        payloads = [
            edge.UpdateOperation.set_payload([item.point_id], labels_payload(item, labelled_by))
            for item in items
        ]
        words = [
            edge.PointVectors(item.point_id, {WORDS_NAME: to_sparse(item.words)}) for item in items
        ]
        self._update(*payloads, edge.UpdateOperation.update_vectors(words), room=WRITE_RESERVE)
        self._untidied += len(items)

    def named_dims(self) -> dict[str, int]:
        return dict(self._named)

    def set_tags(self, ids: Sequence[UUID], change: ChangeTags) -> dict[str, Tags]:
        planned = plan_tags(self.retrieve(ids), change)
        operations = [
            edge.UpdateOperation.set_payload([name], {TAGS: [*tags]})
            if tags
            else edge.UpdateOperation.delete_payload([name], [TAGS])
            for name, tags in planned.changed.items()
        ]
        if operations:
            self._update(*operations, room=WRITE_RESERVE)
            self._untidied += len(operations)
        return {**planned.tags}

    def has_words(self) -> bool:
        return True

    def has_sparse(self) -> bool:
        return self._sparse

    def retrieve(self, ids: Sequence[UUID]) -> list[Point]:
        return self._retrieve(ids, WITHOUT_THUMBNAIL, [VECTOR_NAME])

    def retrieve_vectors(self, ids: Sequence[UUID], names: Sequence[str]) -> list[Point]:
        return self._retrieve(ids, False, [*names])

    def retrieve_thumbnails(self, ids: Sequence[UUID]) -> list[Point]:
        return self._retrieve(ids, [*THUMBNAIL_FIELDS], False)

    def _retrieve(
        self, ids: Sequence[UUID], payload: Any, vectors: list[str] | bool
    ) -> list[Point]:
        with self._using():
            records = self._shard.retrieve(list(ids), with_payload=payload, with_vector=vectors)
        return list(map(read_record, records))

    def read_points(self, where: PointFilter, vectors: Sequence[str]) -> Iterator[Point]:
        def read_page(offset: Offset) -> tuple[Sequence[Any], Offset]:
            request = edge.ScrollRequest(
                offset=offset,
                limit=PAGE,
                filter=to_edge_filter(where),
                with_payload=True if vectors else WITHOUT_THUMBNAIL,
                with_vector=[*vectors] or False,
            )
            with self._using():
                return self._shard.scroll(request)

        return turn_pages(read_page)

    def sample_points(self, where: PointFilter, limit: int) -> list[Point]:
        return list(map(read_record, self._send(sample_request(where, limit))))

    def count_points(self, where: PointFilter, *, exact: bool = True) -> int:
        with self._using():
            return self._shard.count(edge.CountRequest(exact=exact, filter=to_edge_filter(where)))

    def count_values(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        request = edge.FacetRequest(field, limit=_FACETS, exact=True, filter=to_edge_filter(where))
        with self._using():
            hits = self._shard.facet(request).hits
        # Values that deleted points had may still be listed.
        return {str(hit.value): hit.count for hit in hits if hit.count}

    def counts_first_labels(self) -> bool:
        return True

    def size_bytes(self) -> int:
        return measure(self._folder)[1]
