"""Remembers what one search has read of one version of a Lance table."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from schemas.named_vectors import plain_name
from schemas.points import Point, ScoredPoint, SparseVector
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Vector
from workers.indexes.lance import queries
from workers.indexes.lance.impact_search import SPARE, Addresses
from workers.indexes.lance.rows import PACKED, VECTOR, from_rows, vector_columns
from workers.indexes.lance.sparse_queries import FoundRow, find_by_sparse

if TYPE_CHECKING:
    import lance

_SEARCHES_AT_ONCE = 8
_pool = ThreadPoolExecutor(_SEARCHES_AT_ONCE, thread_name_prefix="lance-words")


class Reading:
    """A version, what a search for `words` has found in it, and where.

    Rows that are read by address take one round of requests; by id, pages of an index over ids come
    first, and random ids are each on another page. Rows are looked for by words while the nearest
    are looked for: each takes several rounds. What was read is not read again for a larger pool.
    """

    def __init__(self, dataset: lance.LanceDataset, words: SparseVector | None = None) -> None:
        self.dataset, self.words = dataset, words
        self._addresses: dict[str, int] = {}
        self._points: dict[int, Point] = {}
        self._ahead: dict[tuple[str | None, int], Future[list[FoundRow]]] = {}

    def look_ahead(self, where: str | None, limit: int) -> None:
        """Begin to look for rows by the words, if there are any."""
        key = where, limit
        if self.words is not None and key not in self._ahead:
            self._ahead[key] = _pool.submit(self._find_by_sparse, WORDS_NAME, self.words, *key, 0)

    def _find_by_sparse(
        self, name: str, vector: SparseVector, where: str | None, limit: int, spare: int
    ) -> list[FoundRow]:
        return find_by_sparse(self.dataset, name, vector, where, limit, self.read_rows, spare=spare)

    def find_by_sparse(
        self, name: str, vector: SparseVector, where: str | None, limit: int
    ) -> list[FoundRow]:
        """The first `limit` rows; `name` is WORDS_NAME or SPARSE_NAME."""
        ahead = self._ahead.get((where, limit)) if vector is self.words else None
        if ahead is not None:
            return ahead.result()
        return self._find_by_sparse(name, vector, where, limit, SPARE)

    def find_nearest(
        self,
        vector: Float32Vector,
        where: str | None,
        limit: int,
        *,
        exact: bool,
        name: str = VECTOR_NAME,
    ) -> list[ScoredPoint]:
        """The `limit` nearest points by their vectors of that stored name, best first."""
        columns = vector_columns([name])
        addresses = queries.find_nearest(
            self.dataset,
            vector,
            where,
            limit,
            exact=exact,
            as_pool=self.words is not None,
            column=name if columns else VECTOR,
        )
        unit = vector / np.linalg.norm(vector)
        points = [
            ScoredPoint(point.id, point.payload, point.vector, point.words, score=score)
            for point in self.read_rows(addresses, columns)
            if (own := _vector_of(point, name)) is not None
            for score in (float(own @ unit / np.linalg.norm(own)),)
        ]
        return sorted(points, key=lambda point: (-point.score, point.id))[:limit]

    def read_rows(self, addresses: Addresses, columns: Sequence[str] = ()) -> list[Point]:
        """The points of rows, with what columns have besides, in their order."""
        wanted = addresses.tolist()
        unread = addresses
        if not columns:
            unread = addresses[[address not in self._points for address in wanted]]
        table = queries.take(self.dataset, unread, [PACKED, *columns])
        read = dict(zip(unread.tolist(), from_rows(table), strict=True))
        # Another thread may read the same rows, and without these columns.
        self._points.update(read)
        self._addresses.update((point.id, address) for address, point in read.items())
        return [read.get(address) or self._points[address] for address in wanted]

    def read_points(self, ids: Sequence[str]) -> list[Point] | None:
        """Points with their vectors; None unless where each is was found before."""
        found = self.addresses_of(ids)
        return None if found is None else self.read_rows(found)

    def addresses_of(self, ids: Sequence[str]) -> Addresses | None:
        """uint64 (n,); None unless all of them were found before."""
        found = [self._addresses.get(identity) for identity in ids]
        return None if None in found else np.array(found, np.uint64)


def _vector_of(point: Point, name: str) -> Float32Vector | None:
    """The vector of that stored name, if the point has it."""
    return point.vector if name == VECTOR_NAME else point.named_vectors.get(plain_name(name) or "")
