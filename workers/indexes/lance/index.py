"""Keeps an index as a Lance table: files in a bucket or a folder, and nothing that runs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from schemas.errors import EmbedderMismatchError
from schemas.named_vectors import (
    NO_NAMED,
    NamedDims,
    dims_of,
    find_missing,
    named_fields,
    require_places,
)
from schemas.options import IndexOptions
from schemas.points import IndexQuery, Point, PointLabels, ScoredPoint, SparseVector
from schemas.records import VECTOR_NAME, Float32Matrix, Float32Vector
from schemas.search import SearchHit
from schemas.tags import TAGS, ChangeTags, Tags
from schemas.thumbnails import THUMBNAIL
from workers.indexes import ranking
from workers.indexes.filters import EVERY_POINT, OneOf, PointFilter, Test
from workers.indexes.lance import changes, queries, ranked
from workers.indexes.lance.reading import Reading
from workers.indexes.lance.rows import (
    PACKED,
    PACKED_VECTORS,
    from_rows,
    missing_columns,
    missing_tags,
    read_dim,
    vector_columns,
)
from workers.indexes.lance.sql import is_prefix_of_list, one_of, text_column, to_sql
from workers.indexes.lance.storage import require_safe_commits
from workers.indexes.lance.table import LanceTable, open_table
from workers.indexes.lance.upkeep import WARM_INDEXES, Upkeep
from workers.indexes.point_index import PointIndex, PointsOf
from workers.indexes.points import read_hits

if TYPE_CHECKING:
    import lance

_FACETS = 10_000
_ROWS_AT_ONCE = 1024
_VALUES = 100_000  # that are looked through for those with a beginning


def build(
    options: IndexOptions, dim: int | None, *, create: bool = False, named: NamedDims = NO_NAMED
) -> LanceIndex:
    """Open the table at `options.location`, or make it; see `open_index`.

    Whoever makes it, or is to write to it, is refused where commits are not safe.
    """
    if create:
        require_safe_commits(options)
    table = open_table(options, dim, create=create)
    stored = read_dim(table.current().schema)
    if dim is not None and dim != stored:
        raise EmbedderMismatchError(
            f"the index at {options.location} holds vectors of {stored} numbers, "
            f"but the embedder makes vectors of {dim}"
        )
    missing = find_missing(dims_of(table.current().schema), named, options.location)
    table.add_columns(named_fields(missing))
    return LanceIndex(options, stored, table, checked=create)


class LanceIndex(PointIndex):
    """A table of points, of which any number of processes read and write at once.

    Threads may share it. A search sees one version of the table from its beginning to its end.
    """

    images_at_once = 1000  # each commit is a version, and a file of rows

    def __init__(
        self, options: IndexOptions, dim: int, table: LanceTable, *, checked: bool
    ) -> None:
        super().__init__(dim, options.upsert_batch)
        self._options, self._table = options, table
        self._upkeep = Upkeep(table)
        self._checked = checked
        self._pinned = threading.local()

    def close(self) -> None:
        """Index what was written, if that is much. May be called again."""
        self._upkeep.close()

    def require_writable(self) -> None:
        if not self._checked:
            require_safe_commits(self._options)
            self._checked = True

    def give_copies(self) -> None:
        """Nothing to do: others read the table itself."""

    def warm_up(self) -> None:
        """Read what the nearest and words are found by, each if there is memory for all of it."""
        left = self._options.cache_mb * 2**20
        with self._version() as dataset:
            sizes = {each.name: each.total_size_bytes for each in dataset.describe_indices()}
            for name in WARM_INDEXES:
                size = sizes.get(name)
                if size is not None and size <= left:
                    left -= size
                    dataset.prewarm_index(name)

    def optimize(self) -> None:
        self.require_writable()
        self._upkeep.optimize()

    @contextmanager
    def _version(self) -> Iterator[lance.LanceDataset]:
        """The version to read: that of the search which this thread is in, else the newest."""
        with self._reading() as reading:
            yield reading.dataset

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        pinned: Reading | None = getattr(self._pinned, "reading", None)
        with self._table.raising_errors():
            yield Reading(self._table.current()) if pinned is None else pinned

    def search(self, query: IndexQuery) -> list[SearchHit]:
        words = None if query.text_sum is None else query.words
        self._pinned.reading = Reading(self._table.current(), words)
        try:
            ranked_points = ranking.search(self, query, self.dim, self.note_broken)
            return list(read_hits(ranked_points, self.note_broken))
        finally:
            self._pinned.reading = None

    def replace_all(
        self, images: Sequence[str], points_of: PointsOf, run_started_at: datetime
    ) -> set[uuid.UUID]:
        """As `PointIndex.replace_all`, in one commit."""
        self.require_writable()
        superseded, rows = changes.replace_images(
            self._table, images, points_of, run_started_at, self.dim
        )
        self._upkeep.note_written(rows)
        return set(map(uuid.UUID, superseded))

    def _index_own_fields(self, points: Sequence[Point]) -> None:
        schema = self._table.current().schema
        self._table.add_columns(missing_columns(schema, points))

    def upsert(self, points: Sequence[Point], over: PointFilter = EVERY_POINT) -> None:
        self.require_writable()
        self._index_own_fields(points)
        changes.upsert(self._table, points, self.dim, self._condition(over))
        self._upkeep.note_written(len(points))

    def restore(self, points: Sequence[Point]) -> None:
        require_places(points, self.named_dims)
        self.upsert(points)

    def delete(self, where: PointFilter) -> None:
        condition = self._condition(where)
        if condition is None:
            raise ValueError("a filter that every point meets would delete them all")
        self.require_writable()
        changes.delete(self._table, condition)

    def flush(self) -> None:
        """What was written is durable: from here on this process reads what others have, too."""
        self._table.latest()

    def relabel(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        self.set_labels(items, labelled_by)

    def set_labels(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        self.require_writable()
        changes.set_labels(self._table, items, labelled_by)
        self._upkeep.note_written(len(items))

    def set_tags(self, ids: Sequence[uuid.UUID], change: ChangeTags) -> dict[str, Tags]:
        self._table.add_columns(missing_tags(self._table.current().schema))
        tags, changed = changes.set_tags(self._table, [*map(str, ids)], change)
        self._upkeep.note_written(changed)
        return tags

    def prepare(self, where: PointFilter) -> PointFilter:
        """The same filter with the values of lists of texts in place of a beginning of them."""
        tests = [test for test in (*where.must, *where.must_not) if is_prefix_of_list(test)]
        if not tests:
            return where
        chosen: dict[Test, Test] = {}
        with self._version() as dataset:
            for test in tests:
                if text_column(test.field) not in dataset.schema.names:
                    continue
                values = queries.count_values(dataset, text_column(test.field), None, _VALUES)
                having = (value for value in values if value.startswith(test.prefix))
                chosen[test] = OneOf(test.field, tuple(having))

        def replaced(tests: tuple[Test, ...]) -> tuple[Test, ...]:
            return tuple(chosen.get(test, test) for test in tests)

        return PointFilter(replaced(where.must), replaced(where.must_not))

    def _condition(self, where: PointFilter) -> str | None:
        """The filter as SQL."""
        where = self.prepare(where)
        with self._version() as dataset:
            return to_sql(where, dataset.schema.names)

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
        condition = self._condition(where)
        with self._reading() as reading:
            reading.look_ahead(condition, limit)
            points = reading.find_nearest(vector, condition, limit, exact=exact, name=name)
        return [point for point in points if threshold is None or point.score > threshold]

    def find_neighbours(
        self, vectors: Float32Matrix, where: PointFilter, limit: int, threshold: float
    ) -> list[list[tuple[uuid.UUID, float]]]:
        condition = self._condition(where)
        with self._version() as dataset:
            return queries.find_neighbours(dataset, vectors, condition, limit, threshold)

    def find_by_sparse(
        self, name: str, vector: SparseVector, where: PointFilter, limit: int
    ) -> list[tuple[uuid.UUID, float]]:
        condition = self._condition(where)
        with self._reading() as reading:
            found = reading.find_by_sparse(name, vector, condition, limit)
        return [(uuid.UUID(row.point.id), row.score) for row in found]

    def rank(self, query: IndexQuery, where: PointFilter, pool: int) -> list[uuid.UUID]:
        return ranked.rank(self, query, where, pool)

    def retrieve(self, ids: Sequence[uuid.UUID]) -> list[Point]:
        with self._reading() as reading:
            known = reading.read_points([*map(str, ids)])
        return self._read(ids, PACKED_VECTORS) if known is None else known

    def retrieve_vectors(self, ids: Sequence[uuid.UUID], names: Sequence[str]) -> list[Point]:
        columns = vector_columns(names)
        return self._read(ids, names, columns) if columns else self.retrieve(ids)

    def retrieve_thumbnails(self, ids: Sequence[uuid.UUID]) -> list[Point]:
        return self._read(ids, (), [THUMBNAIL])

    def _read(
        self, ids: Sequence[uuid.UUID], vectors: Sequence[str], columns: Sequence[str] = ()
    ) -> list[Point]:
        """The points of some ids, with these vectors, and with what columns have besides."""
        names, columns = [*map(str, ids)], [PACKED, *columns]
        if not names:
            return []
        with self._reading() as reading:
            addresses = reading.addresses_of(names)
            if addresses is None:
                table = reading.dataset.to_table(columns=columns, filter=one_of("id", names))
            else:
                table = queries.take(reading.dataset, addresses, columns)
        return list(from_rows(table, vectors))

    def read_points(self, where: PointFilter, vectors: Sequence[str]) -> Iterator[Point]:
        """As `PointOperations.read_points`, all of one version."""
        condition = self._condition(where)
        with self._version() as dataset:
            columns = [PACKED]
            if vectors:
                columns.append(THUMBNAIL)
            columns += vector_columns(vectors)
            scanner = dataset.scanner(columns=columns, filter=condition, batch_size=_ROWS_AT_ONCE)
            for batch in scanner.to_batches():
                yield from from_rows(pa.Table.from_batches([batch]), vectors)

    def sample_points(self, where: PointFilter, limit: int) -> list[Point]:
        condition = self._condition(where)
        with self._version() as dataset:
            addresses = queries.sample(dataset, condition, limit)
            table = queries.take(dataset, addresses, [PACKED])
        return list(from_rows(table, PACKED_VECTORS))

    def count_points(self, where: PointFilter, *, exact: bool = True) -> int:
        condition = self._condition(where)
        with self._version() as dataset:
            return int(dataset.count_rows(condition))

    def count_values(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        condition = self._condition(where)
        with self._version() as dataset:
            if field == TAGS and TAGS not in dataset.schema.names:
                return {}
            return queries.count_values(dataset, field, condition, _FACETS)

    def named_dims(self) -> dict[str, int]:
        with self._version() as dataset:
            return dims_of(dataset.schema)

    def has_words(self) -> bool:
        return True

    def has_sparse(self) -> bool:
        return True

    def counts_first_labels(self) -> bool:
        return True

    def size_bytes(self) -> int:
        with self._version() as dataset:
            files = (file for fragment in dataset.get_fragments() for file in fragment.data_files())
            return sum(file.file_size_bytes or 0 for file in files)
