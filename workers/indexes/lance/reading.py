"""Remembers what one search has read of one version of a Lance table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from schemas.points import Point, SparseVector
from schemas.records import WORDS_NAME
from workers.indexes.lance.impact_search import Addresses
from workers.indexes.lance.queries import take
from workers.indexes.lance.rows import RANKING_COLUMNS, VECTOR, from_rows
from workers.indexes.lance.sparse_queries import FoundRow, find_by_sparse

if TYPE_CHECKING:
    import lance

_SEARCHES_AT_ONCE = 8
_pool = ThreadPoolExecutor(_SEARCHES_AT_ONCE, thread_name_prefix="lance-words")
_Ahead = tuple[list[FoundRow], list[Point]]


class Reading:
    """A version, what a search for `words` has found in it, and where.

    Rows that are read by address take one round of requests; by id, pages of an index over ids come
    first, and random ids are each on another. Rows are looked for by words, and read, while the
    nearest are looked for: each takes several rounds.
    """

    def __init__(self, dataset: lance.LanceDataset, words: SparseVector | None = None) -> None:
        self.dataset, self.words = dataset, words
        self._addresses: dict[str, int] = {}
        self._words_of: dict[str, SparseVector] = {}
        self._points: dict[str, Point] = {}
        self._ahead: dict[tuple[str | None, int], Future[_Ahead]] = {}

    def look_ahead(self, where: str | None, limit: int) -> None:
        """Begin to look for rows by the words, if there are any."""
        key = where, limit
        if self.words is not None and key not in self._ahead:
            self._ahead[key] = _pool.submit(_find_and_read, self.dataset, self.words, *key)

    def find_by_sparse(
        self, name: str, vector: SparseVector, where: str | None, limit: int
    ) -> list[FoundRow]:
        """The first `limit` rows; `name` is WORDS_NAME or SPARSE_NAME."""
        ahead = self._ahead.get((where, limit)) if vector is self.words else None
        if ahead is None:
            found = find_by_sparse(self.dataset, name, vector, where, limit)
        else:
            found, points = ahead.result()
            self._points.update((point.id, point) for point in points)
        self._addresses.update((row.id, row.address) for row in found)
        if name == WORDS_NAME:
            self._words_of.update((row.id, row.sparse) for row in found)
        return found

    def note_nearest(self, points: Iterable[Point], addresses: Iterable[int]) -> None:
        """Remember where points are, and their words if they came with them."""
        for point, address in zip(points, addresses, strict=True):
            self._addresses[point.id] = address
            if point.words is not None:
                self._words_of[point.id] = point.words

    def addresses_of(self, ids: Sequence[str]) -> Addresses | None:
        """uint64 (n,); None unless all of them were found before."""
        found = [self._addresses.get(identity) for identity in ids]
        return None if None in found else np.array(found, np.uint64)

    def points_of(self, ids: Sequence[str]) -> list[Point] | None:
        """Points with what ranks them, and vectors; None unless all of them were read before."""
        known = [self._points[identity] for identity in ids if identity in self._points]
        return known if len(known) == len(ids) else None

    def words_of(self, ids: Sequence[str]) -> list[Point] | None:
        """Points with their words; None unless those of all are known."""
        if not all(identity in self._words_of for identity in ids):
            return None
        return [Point(identity, {}, words=self._words_of[identity]) for identity in ids]


def _find_and_read(
    dataset: lance.LanceDataset, words: SparseVector, where: str | None, limit: int
) -> _Ahead:
    found = find_by_sparse(dataset, WORDS_NAME, words, where, limit)
    addresses = np.array([row.address for row in found], np.uint64)
    table = take(dataset, addresses, [*RANKING_COLUMNS, VECTOR])
    return found, list(from_rows(table))
