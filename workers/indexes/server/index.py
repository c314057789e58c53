"""The index of a Qdrant server, one collection."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from schemas.errors import (
    EmbedderMismatchError,
    IndexMissingError,
    IndexUnavailableError,
    UsageError,
    VectorIndexError,
)
from schemas.options import IndexOptions
from schemas.payload import DATETIME_FIELDS, FLOAT_FIELDS, INTEGER_FIELDS, KEYWORD_FIELDS
from schemas.records import VECTOR_NAME, WORDS_NAME, Float32Vector
from schemas.search import IndexQuery, Labelled, Words
from workers.backoff import Backoff
from workers.indexes.filters import EVERY_POINT, PointFilter, to_filter
from workers.indexes.location import ServerAddress, server_address
from workers.indexes.points import RRF_K, Found, PointRow, found, labels_payload
from workers.indexes.qdrant_index import Offset, QdrantIndex

_PAGE = 256
_FACETS = 10_000
_T = TypeVar("_T")


def build(
    options: IndexOptions,
    dim: int | None,
    *,
    create: bool = False,
    client: QdrantClient | None = None,
) -> RemoteIndex:
    """Open the collection that `options.location` names, or make it; see `open_index`.

    That is tried once: an address where no server has ever been is told at once. `client` takes the
    place of one that is connected to the address in `options`.
    """
    address = server_address(options.location)
    if client is None:
        client = connect(address, options)
    with mapped(address):
        if not client.collection_exists(address.collection):
            if not create or dim is None:
                raise IndexMissingError(
                    f"there is no collection {address.collection!r} on the Qdrant server "
                    f"at {address.url}"
                )
            _create(client, address.collection, dim)
        details = client.get_collection(address.collection)
        stored = _stored_dim(details, address)
        if dim is not None and dim != stored:
            raise EmbedderMismatchError(
                f"the collection {address.collection!r} at {address.url} holds vectors of "
                f"{stored} numbers, but the embedder makes vectors of {dim}"
            )
        if create:
            _index_payload(client, address.collection, details)
    return RemoteIndex(
        client,
        address,
        stored,
        options.upsert_batch,
        Backoff(options.retry_budget_s),
        has_words=WORDS_NAME in (details.config.params.sparse_vectors or {}),
    )


def connect(address: ServerAddress, options: IndexOptions) -> QdrantClient:
    """A client, which asks nothing yet."""
    with warnings.catch_warnings():
        # A key over plain HTTP, inside a cluster: the address says so already.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=address.url,
            api_key=options.api_key.get_secret_value() if options.api_key else None,
            timeout=math.ceil(options.timeout_s),
            check_compatibility=False,
            # Loading certificates takes 40 ms, and there are none without TLS.
            verify=address.url.startswith("https://"),
        )


@contextmanager
def mapped(address: ServerAddress) -> Iterator[None]:
    """What the client raises, as one of our errors."""
    server = f"the Qdrant server at {address.url}"
    try:
        yield
    except ResponseHandlingException as exc:
        raise IndexUnavailableError(f"{server} does not answer: {exc.source}") from exc
    except ResourceExhaustedResponse as exc:
        raise IndexUnavailableError(f"{server} is overloaded: {exc}") from exc
    except UnexpectedResponse as exc:
        status = exc.status_code or 0
        said = " ".join(exc.content.decode("utf-8", "replace").split())[:300]
        if status in (401, 403):
            raise VectorIndexError(f"{server} refused the API key ({status}: {said})") from exc
        if status == 404:
            raise IndexMissingError(
                f"{server} does not know the collection {address.collection!r} (404: {said})"
            ) from exc
        if status >= 500 or status == 429:
            raise IndexUnavailableError(f"{server} failed ({status}: {said})") from exc
        raise VectorIndexError(f"{server} refused the request ({status}: {said})") from exc


def _create(client: QdrantClient, collection: str, dim: int) -> None:
    vectors = models.VectorParams(size=dim, distance=models.Distance.COSINE)
    words = models.SparseVectorParams(modifier=models.Modifier.IDF)
    client.create_collection(
        collection,
        vectors_config={VECTOR_NAME: vectors},
        sparse_vectors_config={WORDS_NAME: words},
    )


def _stored_dim(details: models.CollectionInfo, address: ServerAddress) -> int:
    vectors = details.config.params.vectors
    if not isinstance(vectors, dict) or VECTOR_NAME not in vectors:
        raise UsageError(
            f"the collection {address.collection!r} at {address.url} is no index of objseek: "
            f"it has no vector named {VECTOR_NAME!r}"
        )
    return vectors[VECTOR_NAME].size


def _index_payload(client: QdrantClient, collection: str, details: models.CollectionInfo) -> None:
    wanted: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
        **{
            name: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True)
            for name in KEYWORD_FIELDS
        },
        **dict.fromkeys(INTEGER_FIELDS, models.PayloadSchemaType.INTEGER),
        **dict.fromkeys(FLOAT_FIELDS, models.PayloadSchemaType.FLOAT),
        **dict.fromkeys(DATETIME_FIELDS, models.PayloadSchemaType.DATETIME),
    }
    for field, schema in wanted.items():
        # One may be missing where an earlier run ended while it made the collection.
        if field not in details.payload_schema:
            client.create_payload_index(collection, field, field_schema=schema, wait=True)


def _sparse(words: Words) -> models.SparseVector:
    return models.SparseVector(indices=words.indices.tolist(), values=words.values.tolist())


class RemoteIndex(QdrantIndex):
    """A collection of a Qdrant server, over HTTP.

    What the server does not answer, or not now, is asked again as `backoff` says. A request whose
    answer got lost may have been done, wholly or in part, so each can be done twice: points are
    upserted under the same ids, and what is deleted is named by its ids and images, and by runs
    that did not start later than this one. A request that the server does long after it was given
    up for lost may bring back what has been replaced, which a verification finds.
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
    ) -> None:
        super().__init__(dim, upsert_batch)
        self._words = has_words
        self._client = client
        self._address = address
        self._collection = address.collection
        self._backoff = backoff

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._client.close()

    def give_copies(self) -> None:
        """Nothing to do: others ask the server."""

    def _answered(self, what: str, ask: Callable[[], _T]) -> _T:
        """What `ask` returns, asked again while the server is away."""

        def once() -> _T:
            with mapped(self._address):
                return ask()

        return self._backoff.retry(once, f"{what} {self._collection!r}")

    def _upsert(self, rows: Sequence[PointRow], over: PointFilter = EVERY_POINT) -> None:
        points = [
            models.PointStruct(
                id=row.id,
                vector={VECTOR_NAME: row.vector.tolist(), **self._words_of(row.words)},
                payload=row.payload,
            )
            for row in rows
        ]
        condition = to_filter(over)
        self._answered(
            "an upsert into",
            lambda: self._client.upsert(
                self._collection, points, wait=True, update_filter=condition
            ),
        )

    def _delete(self, where: PointFilter) -> None:
        filtered = to_filter(where)
        if filtered is None:
            raise ValueError("a filter that every point meets would delete them all")
        selector = models.FilterSelector(filter=filtered)
        self._answered(
            "a delete from",
            lambda: self._client.delete(self._collection, selector, wait=True),
        )

    def _flush(self) -> None:
        """Nothing to do: with `wait=True` the server answers once it has written its log."""

    def _words_of(self, words: Words) -> dict[str, models.SparseVector]:
        # A collection that is older than words has no place for them.
        return {WORDS_NAME: _sparse(words)} if self._words else {}

    def _nearest(
        self,
        vector: Float32Vector,
        where: PointFilter,
        limit: int,
        threshold: float | None,
        *,
        exact: bool = False,
    ) -> list[Found]:
        points = self._queried(
            query=vector.tolist(),
            using=VECTOR_NAME,
            query_filter=to_filter(where),
            limit=limit,
            score_threshold=threshold,
            search_params=models.SearchParams(exact=True) if exact else None,
        )
        return [Found(str(point.id), point.score, point.payload or {}) for point in points]

    def _ranked(self, query: IndexQuery, where: PointFilter, pool: int) -> list[UUID]:
        filtered = to_filter(where)
        request: dict[str, Any] = {"query": query.vector.tolist(), "using": VECTOR_NAME}
        if query.liked is not None:
            disliked = [] if query.disliked is None else query.disliked.tolist()
            examples = models.RecommendInput(
                positive=query.liked.tolist(),
                negative=disliked,
                strategy=models.RecommendStrategy.BEST_SCORE,
            )
            request["query"] = models.RecommendQuery(recommend=examples)
        if query.words is not None and self._words:
            sparse = models.Prefetch(
                query=_sparse(query.words), using=WORDS_NAME, limit=pool, filter=filtered
            )
            both = [models.Prefetch(**request, limit=pool, filter=filtered), sparse]
            request = {"query": models.RrfQuery(rrf=models.Rrf(k=RRF_K)), "prefetch": both}
        if query.diversity:
            before = models.Prefetch(**request, limit=pool, filter=filtered)
            mmr = models.Mmr(diversity=query.diversity, candidates_limit=pool)
            varied = models.NearestQuery(nearest=query.vector.tolist(), mmr=mmr)
            request = {"query": varied, "using": VECTOR_NAME, "prefetch": before}
        points = self._queried(**request, query_filter=filtered, limit=pool, with_payload=False)
        if not query.diversity:
            points = sorted(points, key=lambda one: (-one.score, str(one.id)))
        return [UUID(str(one.id)) for one in points]

    def _queried(self, *, with_payload: bool = True, **request: Any) -> list[models.ScoredPoint]:
        return self._answered(
            "a query of",
            lambda: (
                self._client.query_points(
                    self._collection, with_payload=with_payload, **request
                ).points
            ),
        )

    def _set_labels(self, items: Sequence[Labelled], labelled_by: str) -> None:
        there = {UUID(one.id) for one in self._retrieve([UUID(item.point_id) for item in items])}
        operations: list[models.UpdateOperation] = []
        vectors: list[models.PointVectors] = []
        for item in items:
            if UUID(item.point_id) not in there:
                continue
            payload = models.SetPayload(
                payload=labels_payload(item, labelled_by), points=[item.point_id]
            )
            operations.append(models.SetPayloadOperation(set_payload=payload))
            if self._words:
                words = {WORDS_NAME: _sparse(item.words)}
                vectors.append(models.PointVectors(id=item.point_id, vector={**words}))
        if vectors:
            update = models.UpdateVectors(points=vectors)
            operations.append(models.UpdateVectorsOperation(update_vectors=update))
        if operations:
            self._answered(
                "labels of",
                lambda: self._client.batch_update_points(self._collection, operations, wait=True),
            )

    def _has_words(self) -> bool:
        return self._words

    def _retrieve(self, object_ids: Sequence[UUID]) -> list[Found]:
        records = self._answered(
            "points of",
            lambda: self._client.retrieve(
                self._collection,
                [str(object_id) for object_id in object_ids],
                with_payload=True,
                with_vectors=[VECTOR_NAME],
            ),
        )
        return [found(record) for record in records]

    def _page(
        self, where: PointFilter, offset: Offset, vectors: Sequence[str]
    ) -> tuple[list[Found], Offset]:
        records, following = self._answered(
            "a page of",
            lambda: self._client.scroll(
                self._collection,
                scroll_filter=to_filter(where),
                limit=_PAGE,
                offset=offset,
                with_payload=True,
                with_vectors=[*vectors] or False,
            ),
        )
        return [found(record) for record in records], following

    def _count(self, where: PointFilter) -> int:
        counted = self._answered(
            "a count in",
            lambda: self._client.count(self._collection, count_filter=to_filter(where), exact=True),
        )
        return counted.count

    def _facet(self, field: str, where: PointFilter = EVERY_POINT) -> dict[str, int]:
        hits = self._answered(
            "a facet of",
            lambda: self._client.facet(
                self._collection,
                field,
                facet_filter=to_filter(where),
                limit=_FACETS,
                exact=True,
            ),
        ).hits
        # Values that deleted points had may still be listed.
        return {str(hit.value): hit.count for hit in hits if hit.count}

    def _size_bytes(self) -> None:
        return None
