"""What the indexes have in common: both are Qdrant, in this process or behind a server."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self, TypeVar

import numpy as np

from schemas.errors import UsageError
from schemas.ids import image_id
from schemas.payload import KEYWORD_FIELDS
from schemas.records import VECTOR_NAME, WORDS_NAME, EmbeddedImage, Float32Vector
from schemas.search import (
    Condition,
    EmbedderCount,
    FacetCount,
    IndexInfo,
    IndexQuery,
    Labelled,
    RawPoint,
    SearchHit,
    StoredPoint,
)
from workers.indexes.filters import EVERY_POINT, Ids, OneOf, PointFilter, Times, point_filter
from workers.indexes.points import (
    Found,
    PointRow,
    batches,
    check_images,
    check_query,
    point_rows,
    raw_row,
    to_hit,
)
from workers.indexes.ranking import apart, best, firsts

_LOWEST = np.float32(-np.inf)
_AT_ONCE = 1000
# Ranks that are fused or varied are those of so many points; others are no hits.
_LEAST_POOL, _POOL_SHARE, _MOST_POOL = 60, 4, 4000
_LOOKED_AT_FIRST = 4
Offset = int | str | uuid.UUID | None
_T = TypeVar("_T")


def _in_batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _later_than(run_started_at: datetime) -> Times:
    # Points of older indexes do not tell their run, and are of none that started later.
    return Times("run_started_at", run_started_at, ("gt",))


def _only(field: str, value: str) -> PointFilter:
    return PointFilter(must=(OneOf(field, (value,)),))


class QdrantIndex(ABC):
    """A VectorIndex over the few operations that each kind of Qdrant provides."""

    def __init__(self, dim: int, upsert_batch: int) -> None:
        self.dim = dim
        self._upsert_batch = upsert_batch

    def replace_images(
        self, images: Sequence[EmbeddedImage], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        """Upsert these generations, then delete whatever else these images had.

        Images that a run which started later has written are left alone; their ids are returned.
        Durable on return. A crash in between is repaired by calling it again. Raises
        InvalidVectorError before anything is written.

        However the requests of two runs that write an image follow each other, the later run's
        points are what is left. The earlier run never touches them: its upserts and deletes pass
        over what a later run wrote, even under the same id. And its own points go: either they are
        there when the later run deletes what is not its own, or they come after that, and then its
        second look, which follows its last upsert, finds the later run's, which were there before
        that deletion.
        """
        check_images(images, self.dim)
        now = datetime.now(UTC)
        started = run_started_at or now
        by_id = {str(image_id(image.ref)): image for image in images}
        superseded = self._written_later([*by_id], started)
        mine = [identity for identity in by_id if identity not in superseded]
        rows = [row for identity in mine for row in point_rows(by_id[identity], now, started)]
        if rows:
            superseded |= self._replace(mine, rows, started)
        return set(map(uuid.UUID, superseded))

    def _replace(
        self, images: Sequence[str], rows: Sequence[PointRow], started: datetime
    ) -> set[str]:
        """Put `rows` in place of what these images had; the images that a later run has written."""
        later = _later_than(started)
        for batch in batches(rows, self._upsert_batch):
            self._upsert(batch, PointFilter(must_not=(later,)))
        self._flush()
        written = Ids(tuple(row.id for row in rows))
        self._delete_any(
            PointFilter(must=(OneOf("image_id", tuple(images)),), must_not=(written, later))
        )
        superseded = self._written_later(images, started)
        if superseded:
            left = OneOf("image_id", tuple(superseded))
            self._delete_any(PointFilter(must=(left, written), must_not=(later,)))
        return superseded

    def _delete_any(self, where: PointFilter) -> None:
        # A flush waits for the disk: none where there is nothing to delete.
        if self._count(where):
            self._delete(where)
            self._flush()

    def _written_later(self, images: Sequence[str], run_started_at: datetime) -> set[str]:
        """Those of the images that have points of a run which started later."""
        later = _later_than(run_started_at)
        found: set[str] = set()
        for some in _in_batches(images, _AT_ONCE):
            where = PointFilter(must=(OneOf("image_id", tuple(some)), later))
            found.update(self._facet("image_id", where))
        return found

    def delete_images(
        self, images: Sequence[uuid.UUID], run_started_at: datetime | None = None
    ) -> set[uuid.UUID]:
        """Remove every point of these images; durable on return.

        With `run_started_at` points of runs that started later stay; the ids of images that have
        such are returned. This look follows the deletion: what comes later is recorded later.
        """
        identities = [str(image) for image in images]
        spared = () if run_started_at is None else (_later_than(run_started_at),)
        for some in _in_batches(identities, _AT_ONCE):
            self._delete(PointFilter(must=(OneOf("image_id", tuple(some)),), must_not=spared))
        self._flush()
        if run_started_at is None:
            return set()
        return set(map(uuid.UUID, self._written_later(identities, run_started_at)))

    def delete_points(self, ids: Sequence[str]) -> None:
        """Remove points by their ids; durable on return."""
        for some in _in_batches(ids, _AT_ONCE):
            self._delete(PointFilter(must=(Ids(tuple(some)),)))
        self._flush()

    def search(self, query: IndexQuery) -> list[SearchHit]:
        """Best first; ties by object id. Raises UsageError, InvalidVectorError."""
        check_query(query, self.dim)
        query = replace(query, vector=query.vector / np.linalg.norm(query.vector))
        where = point_filter(query.conditions)
        if query.without:
            without = Ids(tuple(sorted(query.without)))
            where = PointFilter(where.must, (*where.must_not, without))
        plain = query.words is None and query.liked is None and not query.diversity
        chosen = self._best_of_nearest(query, where) if plain else self._first_ranked(query, where)
        return [to_hit(one) for one in chosen]

    def _best_of_nearest(self, query: IndexQuery, where: PointFilter) -> list[Found]:
        """All certain: what is left out of what was fetched is made up for."""
        least, grouped = query.min_score, query.group_size is not None
        # Engines leave out what scores exactly the threshold: one float32 lower, then exactly.
        threshold = None if least is None else float(np.nextafter(np.float32(least), _LOWEST))

        def fetch(limit: int, where: PointFilter = where) -> list[Found]:
            nearest = self._nearest(query.vector, where, limit, threshold, exact=query.exact)
            return [one for one in nearest if least is None or one.score >= least]

        chosen = best(fetch, query.limit, grouped, query.max_overlap)
        if query.group_size in (None, 1) or not chosen:
            return chosen
        images = OneOf("image_id", tuple(one.payload["image_id"] for one in chosen))
        there = PointFilter((*where.must, images), where.must_not)
        everything = sorted(fetch(self._count(there), there), key=lambda one: (-one.score, one.id))
        return firsts(apart(everything, query.max_overlap), query.group_size or 1)

    def _first_ranked(self, query: IndexQuery, where: PointFilter) -> list[Found]:
        """Of a pool some times as large as what is asked for, larger where that is not enough."""
        pool = min(max(_LEAST_POOL, _POOL_SHARE * query.limit), _MOST_POOL)
        while True:
            ranked = self._ranked(query, where, pool)
            chosen, enough = self._chosen(query, ranked)
            if enough or len(ranked) < pool or pool == _MOST_POOL:
                return chosen
            pool = min(2 * pool, _MOST_POOL)

    def _chosen(self, query: IndexQuery, ranked: Sequence[uuid.UUID]) -> tuple[list[Found], bool]:
        """Of ranked points those that are asked for; whether they are enough.

        A few are looked at as long as that will do: what makes a point is large.
        """
        scored: list[Found] = []
        start, size = 0, _LOOKED_AT_FIRST + query.limit
        while start < len(ranked):
            some = ranked[start : start + size]
            # Twice as many each time: what was found is compared anew with all of it.
            start, size = start + size, 2 * size
            there = {uuid.UUID(one.id): one for one in self._retrieve(some)}
            for identity in some:
                one = there.get(identity)
                if one is None or one.vector is None:
                    continue
                score = float(one.vector @ query.vector)
                if query.min_score is None or score >= query.min_score:
                    scored.append(replace(one, score=score, vector=None))
            chosen, enough = _grouped(query, apart(scored, query.max_overlap))
            # Groups may still grow; the order of what is found by then is final.
            if enough and query.group_size in (None, 1):
                return chosen, True
        chosen, enough = _grouped(query, apart(scored, query.max_overlap))
        # Where few of the nearest are near enough, none of those that follow is.
        return chosen, enough or len(scored) < len(ranked) // 2

    def facet(
        self, field: str, conditions: Sequence[Condition] = (), limit: int = 20
    ) -> list[FacetCount]:
        """Values of a text field by how many points have them, most first. Raises UsageError."""
        if field not in KEYWORD_FIELDS:
            raise UsageError(
                f"expected one of {', '.join(KEYWORD_FIELDS)} to count by, got {field!r}"
            )
        counted = self._facet(field, point_filter(conditions))
        ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        return [FacetCount(value, count) for value, count in ordered[:limit]]

    def count(self, conditions: Sequence[Condition] = ()) -> int:
        """How many points meet all conditions. Raises UsageError."""
        return self._count(point_filter(conditions))

    def relabel(self, items: Sequence[Labelled], labelled_by: str) -> None:
        """Give points other labels and words; durable on return. Those that are gone stay so."""
        for some in _in_batches(items, self._upsert_batch):
            self._set_labels(some, labelled_by)
        self._flush()

    def stored(self, object_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredPoint]:
        """Those of the points that are there."""
        points = self._retrieve(object_ids) if object_ids else []
        return {
            uuid.UUID(one.id): StoredPoint(to_hit(one), one.vector)
            for one in points
            if one.vector is not None
        }

    def scroll(self, conditions: Sequence[Condition] = ()) -> Iterator[SearchHit]:
        """Every point under all conditions, score 0, in no particular order. Raises UsageError."""
        for page in self._pages(point_filter(conditions), ()):
            yield from map(to_hit, page)

    def scan(
        self, conditions: Sequence[Condition] = (), *, words: bool = False
    ) -> Iterator[RawPoint]:
        """Every point under all conditions, whatever it is, with its vector, in no order."""
        with_words = words and self._has_words()
        names = (VECTOR_NAME, WORDS_NAME) if with_words else (VECTOR_NAME,)
        for page in self._pages(point_filter(conditions), names):
            for one in page:
                yield RawPoint(one.id, one.payload, one.vector, one.words)

    def restore(self, points: Sequence[RawPoint]) -> None:
        """Put points just as they are, over those of the same ids; durable on return.

        Each has a vector that fits. No fence holds: nobody else writes these images meanwhile.
        """
        for batch in batches(map(raw_row, points), self._upsert_batch):
            self._upsert(batch)
        self._flush()

    def _pages(self, where: PointFilter, vectors: Sequence[str]) -> Iterator[list[Found]]:
        offset: Offset = None
        while True:
            page, offset = self._page(where, offset, vectors)
            yield page
            if offset is None:
                return

    def info(self) -> IndexInfo:
        """What the index holds. `generations` counts pipelines: segmenter, embedder, settings."""
        embedders = self._facet("embedder")
        return IndexInfo(
            dim=self.dim,
            points=self._count(EVERY_POINT),
            objects=self._count(_only("kind", "object")),
            images=self._count(_only("kind", "image")),
            embedders=tuple(EmbedderCount(name, embedders[name]) for name in sorted(embedders)),
            segmenters=tuple(sorted(self._facet("segmenter"))),
            generations=len(self._facet("fingerprint")),
            size_bytes=self._size_bytes(),
            labelled=sum(self._facet("labelled_by").values()),
            has_words=self._has_words(),
        )

    @abstractmethod
    def give_copies(self) -> None:
        """Let processes that want to read have a copy, where they cannot do so themselves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what is held. May be called again."""

    @abstractmethod
    def _upsert(self, rows: Sequence[PointRow], over: PointFilter = EVERY_POINT) -> None:
        """Write points; of those that are there, only over what meets the filter."""

    @abstractmethod
    def _delete(self, where: PointFilter) -> None: ...

    @abstractmethod
    def _flush(self) -> None:
        """Make what was written durable."""

    @abstractmethod
    def _nearest(
        self,
        vector: Float32Vector,
        where: PointFilter,
        limit: int,
        threshold: float | None,
        *,
        exact: bool = False,
    ) -> list[Found]:
        """The `limit` nearest above `threshold`, with their payloads; `score` is the cosine."""

    @abstractmethod
    def _ranked(self, query: IndexQuery, where: PointFilter, pool: int) -> list[uuid.UUID]:
        """The first `pool` points in the order that `query` ranks them in."""

    @abstractmethod
    def _set_labels(self, items: Sequence[Labelled], labelled_by: str) -> None:
        """Labels and words of points, as far as these are there."""

    @abstractmethod
    def _has_words(self) -> bool: ...

    @abstractmethod
    def _retrieve(self, object_ids: Sequence[uuid.UUID]) -> list[Found]:
        """Those of the points that are there, score 0, with their vectors."""

    @abstractmethod
    def _page(
        self, where: PointFilter, offset: Offset, vectors: Sequence[str]
    ) -> tuple[list[Found], Offset]:
        """Some points with these vectors, score 0, from `offset` on, and the offset of the next."""

    @abstractmethod
    def _count(self, where: PointFilter) -> int: ...

    @abstractmethod
    def _facet(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        """How many points have each value of a field, at most 10,000 values."""

    @abstractmethod
    def _size_bytes(self) -> int | None: ...


def _grouped(query: IndexQuery, ranked: Sequence[Found]) -> tuple[list[Found], bool]:
    """As many of the ranked, or of their images, as are asked for; whether there were enough."""
    if query.group_size is None:
        return list(ranked[: query.limit]), len(ranked) >= query.limit
    grouped = firsts(ranked, query.group_size)
    images = list(dict.fromkeys(one.payload["image_id"] for one in grouped))
    wanted = set(images[: query.limit])
    return [one for one in grouped if one.payload["image_id"] in wanted], len(images) >= query.limit
