"""Keeps an index in a collection of a Qdrant server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from qdrant_client import QdrantClient, models

from schemas.errors import (
    UsageError,
)
from schemas.payload import OwnKind
from schemas.points import IndexQuery, Point, PointLabels, ScoredPoint, SparseVector
from schemas.records import VECTOR_NAME, Float32Matrix, Float32Vector
from schemas.tags import TAGS, ChangeTags, Tags
from schemas.thumbnails import THUMBNAIL
from workers.backoff import Backoff
from workers.indexes.filters import EVERY_POINT, Ids, OneOf, PointFilter, Prefix, Test, to_filter
from workers.indexes.location import ServerAddress
from workers.indexes.pages import PAGE, Offset, turn_pages
from workers.indexes.point_index import PointIndex
from workers.indexes.points import (
    THUMBNAIL_FIELDS,
    read_record,
    read_scored,
    read_scores,
)
from workers.indexes.server.changes import label_operations, tag_operations
from workers.indexes.server.collection import (
    end_filling,
    index_own_fields,
    read_named,
)
from workers.indexes.server.connection import (
    ServerFeatures,
    raising_index_errors,
)
from workers.indexes.server.facets import count_values
from workers.indexes.server.layout import RESCORED
from workers.indexes.server.queries import (
    neighbour_requests,
    ranking_request,
    sample_request,
    to_sparse,
)
from workers.indexes.server.vectors import to_struct
from workers.indexes.tags import plan_tags

_FACETS = 10_000
# Of a field whose values are looked through for those with a prefix, and of those with it.
_MOST_VALUES, _MOST_WITH_PREFIX = 200_000, 20_000
# No point of objseek has it.
_NO_POINT = Ids(("00000000-0000-0000-0000-000000000000",))
_WITHOUT_THUMBNAIL = models.PayloadSelectorExclude(exclude=[THUMBNAIL])
_T = TypeVar("_T")


class ServerIndex(PointIndex):
    """A collection of a Qdrant server, over HTTP.

    Requests that the server does not answer, or refuses for now, are sent again as `backoff` says.
    A request whose answer got lost may have been done, wholly or in part, so each can be done
    twice: points are upserted under the same ids, and deletes name ids, images, and runs that did
    not start later than this one. A request that the server does long after it was given up for
    lost may bring back what has been replaced, which a verification finds.
    """

    def __init__(
        self,
        client: QdrantClient,
        address: ServerAddress,
        dim: int,
        upsert_batch: int,
        backoff: Backoff,
        *,
        has_words: bool,
        has_sparse: bool,
        counts_first_labels: bool,
        features: ServerFeatures,
        is_quantized: bool = False,
    ) -> None:
        super().__init__(dim, upsert_batch)
        self._params = RESCORED if is_quantized else None
        self._features = features
        self._words, self._sparse, self._first_labels = has_words, has_sparse, counts_first_labels
        self._client = client
        self._address = address
        self._collection = address.collection
        self._backoff = backoff

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._client.close()

    def give_copies(self) -> None:
        """Nothing to do: others ask the server."""

    def warm_up(self) -> None:
        """Nothing to do: a server keeps what it needs."""

    def optimize(self) -> None:
        """Have the graph made of a collection that was filled without: a server does the rest."""
        self._request("the graph of", lambda: end_filling(self._client, self._collection))

    def require_writable(self) -> None:
        """Nothing to do: a key that may only read is refused by the server, when it writes."""

    def index_own_fields(self, fields: Mapping[str, OwnKind]) -> None:
        self._request(
            "payload indexes of",
            lambda: index_own_fields(
                self._client,
                self._collection,
                fields,
                has_prefixes=self._features.has_prefixes,
            ),
        )

    def _request(self, what: str, send: Callable[[], _T]) -> _T:
        """The server's answer to what `send` sends, again and again while the server is away."""

        def send_once() -> _T:
            with raising_index_errors(self._address):
                return send()

        return self._backoff.retry(send_once, f"{what} {self._collection!r}")

    def upsert(self, points: Sequence[Point], over: PointFilter = EVERY_POINT) -> None:
        written = [
            to_struct(point, self._address, with_words=self._words, with_sparse=self._sparse)
            for point in points
        ]
        condition = to_filter(over)
        self._request(
            "an upsert into",
            lambda: self._client.upsert(
                self._collection, written, wait=True, update_filter=condition
            ),
        )

    def delete(self, where: PointFilter) -> None:
        filtered = to_filter(where)
        if filtered is None:
            raise ValueError("a filter that every point meets would delete them all")
        selector = models.FilterSelector(filter=filtered)
        self._request(
            "a delete from",
            lambda: self._client.delete(self._collection, selector, wait=True),
        )

    def flush(self) -> None:
        """Nothing to do: with `wait=True` the server answers once it has written its log."""

    def prepare(self, where: PointFilter) -> PointFilter:
        """The same filter without prefixes, where the server does not match by them.

        They become the values that begin with them, which takes a facet of the field. Raises
        UsageError where there are too many.
        """
        if self._features.has_prefixes or not any(isinstance(t, Prefix) for t in where.must):
            return where
        others = tuple(test for test in where.must if not isinstance(test, Prefix))
        among = PointFilter(others, where.must_not)
        found = [self._values_with(test, among) for test in where.must if isinstance(test, Prefix)]
        return PointFilter((*others, *found), where.must_not)

    def _values_with(self, test: Prefix, among: PointFilter) -> Test:
        values = self._facet(test.field, among, _MOST_VALUES)
        chosen = tuple(sorted(value for value in values if value.startswith(test.prefix)))
        if len(values) >= _MOST_VALUES or len(chosen) > _MOST_WITH_PREFIX:
            raise UsageError(
                f"expected a Qdrant server of version 1.19 or newer at {self._address.url} to look "
                f"for a beginning of {test.field!r} among so many values, got "
                f"{self._features.version}"
            )
        return OneOf(test.field, chosen) if chosen else _NO_POINT

    def _filter(self, where: PointFilter) -> models.Filter | None:
        return to_filter(self.prepare(where))

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
        points = self._query(
            query=vector.tolist(),
            using=name,
            query_filter=self._filter(where),
            limit=limit,
            score_threshold=threshold,
            search_params=models.SearchParams(exact=True) if exact else self._params,
        )
        return list(map(read_scored, points))

    def find_neighbours(
        self, vectors: Float32Matrix, where: PointFilter, limit: int, threshold: float
    ) -> list[list[tuple[UUID, float]]]:
        requests = neighbour_requests(vectors, self._filter(where), limit, threshold, self._params)
        answers = self._request(
            "queries of",
            lambda: self._client.query_batch_points(self._collection, requests),
        )
        return [read_scores(answer.points) for answer in answers]

    def rank(self, query: IndexQuery, where: PointFilter, pool: int) -> list[UUID]:
        request = ranking_request(
            query, self._filter(where), pool, with_words=self._words, params=self._params
        )
        points = self._query(**request, with_payload=False)
        if query.diversity:
            # A number is the id of a point that objseek has not written.
            return [UUID(str(point.id)) for point in points if not isinstance(point.id, int)]
        return [identity for identity, _ in read_scores(points)]

    def find_by_sparse(
        self, name: str, vector: SparseVector, where: PointFilter, limit: int
    ) -> list[tuple[UUID, float]]:
        points = self._query(
            query=to_sparse(vector),
            using=name,
            query_filter=self._filter(where),
            limit=limit,
            with_payload=False,
        )
        return read_scores(points)

    def _query(self, *, with_payload: bool = True, **request: Any) -> list[models.ScoredPoint]:
        payload = _WITHOUT_THUMBNAIL if with_payload else False
        query = partial(self._client.query_points, self._collection, with_payload=payload)
        return self._request("a query of", lambda: query(**request).points)

    def set_labels(self, items: Sequence[PointLabels], labelled_by: str) -> None:
        existing = {point.id for point in self.retrieve([UUID(item.point_id) for item in items])}
        there = [item for item in items if str(UUID(item.point_id)) in existing]
        self._change("labels of", label_operations(there, labelled_by, with_words=self._words))

    def set_tags(self, ids: Sequence[UUID], change: ChangeTags) -> dict[str, Tags]:
        planned = plan_tags(self.retrieve(ids), change)
        if planned.changed:
            self.index_own_fields({TAGS: "text"})  # a collection of an older version has no index
        self._change("tags of", tag_operations(planned.changed))
        return {**planned.tags}

    def _change(self, what: str, operations: Sequence[models.UpdateOperation]) -> None:
        if operations:
            self._request(
                what,
                lambda: self._client.batch_update_points(self._collection, operations, wait=True),
            )

    def named_dims(self) -> dict[str, int]:
        # Others may have added some since.
        found = self._request("vectors of", lambda: self._client.get_collection(self._collection))
        return read_named(found)

    def has_words(self) -> bool:
        return self._words

    def has_sparse(self) -> bool:
        return self._sparse

    def retrieve(self, ids: Sequence[UUID]) -> list[Point]:
        return self._retrieve(ids, "points of", _WITHOUT_THUMBNAIL, [VECTOR_NAME])

    def retrieve_vectors(self, ids: Sequence[UUID], names: Sequence[str]) -> list[Point]:
        return self._retrieve(ids, "vectors of", False, [*names])

    def retrieve_thumbnails(self, ids: Sequence[UUID]) -> list[Point]:
        return self._retrieve(ids, "thumbnails of", [*THUMBNAIL_FIELDS], False)

    def _retrieve(
        self, ids: Sequence[UUID], what: str, payload: Any, vectors: list[str] | bool
    ) -> list[Point]:
        records = self._request(
            what,
            lambda: self._client.retrieve(
                self._collection, [*map(str, ids)], with_payload=payload, with_vectors=vectors
            ),
        )
        return list(map(read_record, records))

    def read_points(self, where: PointFilter, vectors: Sequence[str]) -> Iterator[Point]:
        filtered = self._filter(where)

        def read_page(offset: Offset) -> tuple[Sequence[Any], Offset]:
            return self._request(
                "a page of",
                lambda: self._client.scroll(
                    self._collection,
                    scroll_filter=filtered,
                    limit=PAGE,
                    offset=offset,
                    with_payload=True if vectors else _WITHOUT_THUMBNAIL,
                    with_vectors=[*vectors] or False,
                ),
            )

        return turn_pages(read_page)

    def sample_points(self, where: PointFilter, limit: int) -> list[Point]:
        request = sample_request(self._filter(where), limit)
        return list(map(read_record, self._query(**request)))

    def count_points(self, where: PointFilter, *, exact: bool = True) -> int:
        filtered = self._filter(where)
        result = self._request(
            "a count in",
            lambda: self._client.count(self._collection, count_filter=filtered, exact=exact),
        )
        return result.count

    def count_values(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        return self._facet(field, where, _FACETS)

    def _facet(self, field: str, where: PointFilter, most: int) -> dict[str, int]:
        filtered = self._filter(where)
        return self._request(
            "a facet of",
            lambda: count_values(self._client, self._collection, field, filtered, most),
        )

    def counts_first_labels(self) -> bool:
        return self._first_labels

    def size_bytes(self) -> None:
        return None
