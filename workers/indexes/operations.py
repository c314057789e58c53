"""Names the few operations on points that each kind of index provides."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from schemas.payload import OwnKind
from schemas.points import IndexQuery, Point, PointLabels, ScoredPoint, SparseVector
from schemas.records import VECTOR_NAME, Float32Matrix, Float32Vector
from schemas.tags import ChangeTags, Tags
from workers.indexes.filters import EVERY_POINT, PointFilter


class PointOperations(ABC):
    """Reads and writes points of one collection. Raises the errors of `VectorIndex`."""

    def prepare(self, where: PointFilter) -> PointFilter:
        """A filter that means the same, in which what takes requests of its own is done already."""
        return where

    def index_own_fields(self, fields: Mapping[str, OwnKind]) -> None:  # noqa: B027
        """Make filters by these `own.NAME` fast, if they are not; they mean the same without."""

    @abstractmethod
    def upsert(self, points: Sequence[Point], over: PointFilter = EVERY_POINT) -> None:
        """Write points that have vectors; over points of the same ids only if they meet `over`.

        Raises UsageError for sparse vectors where there is no place for them.
        """

    @abstractmethod
    def delete(self, where: PointFilter) -> None:
        """Delete points that meet a filter. Raises ValueError for one that every point meets."""

    @abstractmethod
    def flush(self) -> None:
        """Make what was written durable."""

    @abstractmethod
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
        """The `limit` nearest points above `threshold`, best first; the score is the cosine.

        With payloads, but for the thumbnails. `name` is VECTOR_NAME, or the stored name of one of
        `named_dims`: of points that have that vector.
        """

    @abstractmethod
    def find_neighbours(
        self, vectors: Float32Matrix, where: PointFilter, limit: int, threshold: float
    ) -> list[list[tuple[uuid.UUID, float]]]:
        """Of each row the ids and cosines of the `limit` nearest points above `threshold`.

        Best first, ties by id. `vectors` is float32 (n, dim), of unit length.
        """

    @abstractmethod
    def find_by_sparse(
        self, name: str, vector: SparseVector, where: PointFilter, limit: int
    ) -> list[tuple[uuid.UUID, float]]:
        """Ids and scores of the first `limit` points with a term of `vector`; ties by id.

        `name` is WORDS_NAME, scored by BM25, or SPARSE_NAME, scored by the dot product. To be
        called where there are such vectors alone, see `has_words` and `has_sparse`.
        """

    @abstractmethod
    def rank(self, query: IndexQuery, where: PointFilter, pool: int) -> list[uuid.UUID]:
        """The ids of the first `pool` points, in the order in which `query` ranks them.

        The query has a vector and no sparse one.
        """

    @abstractmethod
    def retrieve(self, ids: Sequence[uuid.UUID]) -> list[Point]:
        """Those of the points that exist, with their vectors, without words and thumbnails."""

    @abstractmethod
    def retrieve_vectors(self, ids: Sequence[uuid.UUID], names: Sequence[str]) -> list[Point]:
        """Those of the points that exist, with the vectors of these names and no payload."""

    @abstractmethod
    def retrieve_thumbnails(self, ids: Sequence[uuid.UUID]) -> list[Point]:
        """Those of the points that exist, of their payload but the thumbnail and its check."""

    @abstractmethod
    def read_points(self, where: PointFilter, vectors: Sequence[str]) -> Iterator[Point]:
        """All points that meet a filter, with the vectors of these names, as they are asked for.

        Without any vector, points come without their thumbnails, too.
        """

    @abstractmethod
    def sample_points(self, where: PointFilter, limit: int) -> list[Point]:
        """Up to `limit` points that meet a filter, chosen at random, as `retrieve` gives them."""

    @abstractmethod
    def count_points(self, where: PointFilter, *, exact: bool = True) -> int:
        """How many points meet a filter; not `exact`: as the engine guesses, without counting."""

    @abstractmethod
    def count_values(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        """How many points have each value of a field; at most 10,000 values."""

    @abstractmethod
    def set_labels(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        """Set labels and words of those points that exist."""

    @abstractmethod
    def named_dims(self) -> dict[str, int]:
        """How many numbers the named vectors have for which there is a place, by name."""

    @abstractmethod
    def set_tags(self, ids: Sequence[uuid.UUID], change: ChangeTags) -> dict[str, Tags]:
        """Give points other tags; what those that exist have then, by id."""

    @abstractmethod
    def has_words(self) -> bool:
        """Whether points can have words: collections of older versions have no place for them."""

    @abstractmethod
    def has_sparse(self) -> bool:
        """Whether points may have sparse vectors of the user's own."""

    @abstractmethod
    def counts_first_labels(self) -> bool:
        """Whether `count_values` takes `FIRST_LABEL`: older collections have no index of it."""

    @abstractmethod
    def size_bytes(self) -> int | None:
        """Bytes on a disk or in a bucket; None for a server."""
