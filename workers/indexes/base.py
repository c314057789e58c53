"""What the indexes have in common: both are Qdrant, in this process or behind a server."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Self, TypeVar

import numpy as np

from schemas.ids import image_id
from schemas.records import EmbeddedImage, Float32Vector
from schemas.search import (
    Condition,
    EmbedderCount,
    IndexInfo,
    IndexQuery,
    RawPoint,
    SearchHit,
    StoredPoint,
)
from workers.indexes.filters import Ids, OneOf, PointFilter, point_filter
from workers.indexes.points import (
    Found,
    PointRow,
    batches,
    best,
    check_images,
    check_query,
    point_rows,
    to_hit,
)

_LOWEST = np.float32(-np.inf)
_DELETED_AT_ONCE = 1000
Offset = int | str | uuid.UUID | None
_T = TypeVar("_T")


def _in_batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _only(field: str, value: str) -> PointFilter:
    return PointFilter(must=(OneOf(field, (value,)),))


class QdrantIndex(ABC):
    """A VectorIndex over the few operations that each kind of Qdrant provides."""

    def __init__(self, dim: int, upsert_batch: int) -> None:
        self.dim = dim
        self._upsert_batch = upsert_batch

    def replace_images(self, images: Sequence[EmbeddedImage]) -> None:
        """Upsert these generations, then delete whatever else these images had.

        Durable on return. A crash in between is repaired by calling it again. Raises
        InvalidVectorError before anything is written.
        """
        check_images(images, self.dim)
        if not images:
            return
        now = datetime.now(UTC)
        rows = [row for image in images for row in point_rows(image, now)]
        for batch in batches(rows, self._upsert_batch):
            self._upsert(batch)
        self._flush()
        replaced = OneOf("image_id", tuple(str(image_id(image.ref)) for image in images))
        written = Ids(tuple(row.id for row in rows))
        stale = PointFilter(must=(replaced,), must_not=(written,))
        # A flush waits for the disk: none where there is nothing to delete.
        if self._count(stale):
            self._delete(stale)
            self._flush()

    def delete_images(self, images: Sequence[uuid.UUID]) -> None:
        """Remove every point of these images; durable on return."""
        for some in _in_batches(images, _DELETED_AT_ONCE):
            self._delete(PointFilter(must=(OneOf("image_id", tuple(map(str, some))),)))
        self._flush()

    def delete_points(self, ids: Sequence[str]) -> None:
        """Remove points by their ids; durable on return."""
        for some in _in_batches(ids, _DELETED_AT_ONCE):
            self._delete(PointFilter(must=(Ids(tuple(some)),)))
        self._flush()

    def search(self, query: IndexQuery) -> list[SearchHit]:
        """Best first; ties by object id. Raises UsageError, InvalidVectorError."""
        check_query(query, self.dim)
        where = point_filter(query.conditions)
        least = query.min_score
        # Engines leave out what scores exactly the threshold: one float32 lower, then exactly.
        threshold = None if least is None else float(np.nextafter(np.float32(least), _LOWEST))

        def fetch(limit: int) -> list[Found]:
            nearest = self._nearest(query.vector, where, limit, threshold)
            return [one for one in nearest if least is None or one.score >= least]

        chosen = best(fetch, query.limit, query.group_by_image, query.max_overlap)
        return [to_hit(one) for one in chosen]

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
        for page in self._pages(point_filter(conditions), vectors=False):
            yield from map(to_hit, page)

    def scan(self) -> Iterator[RawPoint]:
        """Every point, whatever it is, with its vector, in no particular order."""
        for page in self._pages(PointFilter(), vectors=True):
            for one in page:
                yield RawPoint(one.id, one.payload, one.vector)

    def _pages(self, where: PointFilter, *, vectors: bool) -> Iterator[list[Found]]:
        offset: Offset = None
        while True:
            page, offset = self._page(where, offset, vectors=vectors)
            yield page
            if offset is None:
                return

    def info(self) -> IndexInfo:
        """What the index holds. `generations` counts pipelines: segmenter, embedder, settings."""
        embedders = self._facet("embedder")
        return IndexInfo(
            dim=self.dim,
            points=self._count(PointFilter()),
            objects=self._count(_only("kind", "object")),
            images=self._count(_only("kind", "image")),
            embedders=tuple(EmbedderCount(name, embedders[name]) for name in sorted(embedders)),
            segmenters=tuple(sorted(self._facet("segmenter"))),
            generations=len(self._facet("fingerprint")),
            size_bytes=self._size_bytes(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what is held. May be called again."""

    @abstractmethod
    def _upsert(self, rows: Sequence[PointRow]) -> None: ...

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
    ) -> list[Found]:
        """The `limit` nearest above `threshold`, with their payloads."""

    @abstractmethod
    def _retrieve(self, object_ids: Sequence[uuid.UUID]) -> list[Found]:
        """Those of the points that are there, score 0, with their vectors."""

    @abstractmethod
    def _page(
        self, where: PointFilter, offset: Offset, *, vectors: bool
    ) -> tuple[list[Found], Offset]:
        """Some points, score 0, from `offset` on, and the offset of the next."""

    @abstractmethod
    def _count(self, where: PointFilter) -> int: ...

    @abstractmethod
    def _facet(self, field: str) -> dict[str, int]:
        """How many points have each value of a field."""

    @abstractmethod
    def _size_bytes(self) -> int | None: ...
