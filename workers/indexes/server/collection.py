"""Makes collections on a Qdrant server, and checks that one fits before it is used."""

from __future__ import annotations

from collections.abc import Mapping

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from schemas.errors import UsageError
from schemas.named_vectors import NO_NAMED, NamedDims, plain_name, stored_among, stored_name
from schemas.payload import (
    DATETIME_FIELDS,
    FIRST_LABEL,
    FIRST_LABEL_SCORE,
    FLOAT_FIELDS,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    OwnKind,
)
from schemas.records import SPARSE_NAME, VECTOR_NAME, WORDS_NAME
from workers.indexes.location import ServerAddress
from workers.indexes.server.layout import GRAPH_M, NO_GRAPH_M, CollectionLayout

# What a server answers that does not know a request, or does not know its method.
_NO_SUCH_REQUEST = (404, 405)


def create_collection(
    client: QdrantClient,
    collection: str,
    dim: int,
    layout: CollectionLayout | None = None,
    named: NamedDims = NO_NAMED,
) -> None:
    """Make a collection for vectors of `dim` numbers, and for `named` ones, unless it is there.

    `layout`: None leaves all that it decides to the server.
    """
    on_disk = None if layout is None else layout.vectors_on_disk
    sizes = {VECTOR_NAME: dim} | {stored_name(name): size for name, size in named.items()}
    vectors = {
        name: models.VectorParams(size=size, distance=models.Distance.COSINE, on_disk=on_disk)
        for name, size in sizes.items()
    }
    words = models.SparseVectorParams(modifier=models.Modifier.IDF)
    try:
        client.create_collection(
            collection,
            vectors_config=vectors,
            sparse_vectors_config={WORDS_NAME: words, SPARSE_NAME: models.SparseVectorParams()},
            **({} if layout is None else layout.to_request()),
        )
    except UnexpectedResponse:
        # Another job may have made it meanwhile.
        if not client.collection_exists(collection):
            raise


def end_filling(client: QdrantClient, collection: str) -> None:
    """Have the server make the graph of a collection that was filled without; it takes its time."""
    if client.get_collection(collection).config.hnsw_config.m == NO_GRAPH_M:
        client.update_collection(collection, hnsw_config=models.HnswConfigDiff(m=GRAPH_M))


def add_sparse(client: QdrantClient, collection: str, details: models.CollectionInfo) -> bool:
    """Make place for sparse vectors of the user's own, where there is none; whether there is.

    Servers of older versions add no vector to a collection that is there.
    """
    if _has_sparse(details):
        return True
    added = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig())
    try:
        client.create_vector_name(collection, SPARSE_NAME, added, wait=True)
    except UnexpectedResponse as exc:
        if exc.status_code in _NO_SUCH_REQUEST:
            return False
        # Another process may have added it meanwhile.
        if not _has_sparse(client.get_collection(collection)):
            raise
    return True


def read_named(details: models.CollectionInfo) -> dict[str, int]:
    """How many numbers the named vectors of a collection have; others' kinds are none of them."""
    vectors = details.config.params.vectors
    found = vectors if isinstance(vectors, dict) else {}
    return {
        plain_name(stored) or "": found[stored].size
        for stored in stored_among(found)
        if found[stored].distance is models.Distance.COSINE
        and found[stored].multivector_config is None
        and found[stored].datatype is not models.Datatype.UINT8
    }


def add_named(
    client: QdrantClient, collection: str, named: NamedDims, address: ServerAddress
) -> None:
    """Make place for named vectors, of which there is none yet.

    Raises UsageError where the server adds no vector to a collection that is there.
    """
    for name, dim in named.items():
        config = models.DenseVectorConfig(size=dim, distance=models.Distance.COSINE)
        added = models.DenseVectorNameConfig(dense=config)
        try:
            client.create_vector_name(collection, stored_name(name), added, wait=True)
        except UnexpectedResponse as exc:
            if exc.status_code in _NO_SUCH_REQUEST:
                raise UsageError(
                    f"the collection {collection!r} at {address.url} has no place for the named "
                    f"vectors {name!r}, and a Qdrant server before 1.18 adds none to a collection "
                    "that is there: name another, which is made with it"
                ) from exc
            # Another process may have added it meanwhile.
            if read_named(client.get_collection(collection)).get(name) != dim:
                raise


def _has_sparse(details: models.CollectionInfo) -> bool:
    return SPARSE_NAME in (details.config.params.sparse_vectors or {})


def read_dim(details: models.CollectionInfo, address: ServerAddress) -> int:
    """How many numbers the vectors of a collection have.

    Raises UsageError for a collection that is not one of objseek, or would rank otherwise.
    """

    def refuse(why: str) -> UsageError:
        return UsageError(f"the collection {address.collection!r} at {address.url} {why}")

    vectors = details.config.params.vectors
    if not isinstance(vectors, dict) or VECTOR_NAME not in vectors:
        raise refuse(f"is no index of objseek: it has no vector named {VECTOR_NAME!r}")
    vector = vectors[VECTOR_NAME]
    if vector.distance is not models.Distance.COSINE:
        raise refuse(
            f"compares its vectors by {vector.distance.value}, an index of objseek by "
            f"{models.Distance.COSINE.value}"
        )
    if vector.multivector_config is not None:
        raise refuse("has several vectors a point, an index of objseek has one")
    if vector.datatype is models.Datatype.UINT8:
        raise refuse("keeps its vectors as whole numbers from 0 to 255, which loses those below 1")
    words = (details.config.params.sparse_vectors or {}).get(WORDS_NAME)
    if words is not None and words.modifier is not models.Modifier.IDF:
        raise refuse("counts every word alike, an index of objseek rare ones more (modifier idf)")
    sparse = (details.config.params.sparse_vectors or {}).get(SPARSE_NAME)
    if sparse is not None and sparse.modifier is models.Modifier.IDF:
        raise refuse("counts rare terms of sparse vectors more, an index of objseek all alike")
    return vector.size


def index_own_fields(
    client: QdrantClient, collection: str, fields: Mapping[str, OwnKind], *, has_prefixes: bool
) -> None:
    """Make the payload indexes of fields of the user's own; `has_prefixes`: see `index_payload`."""
    existing = client.get_collection(collection).payload_schema
    schemas: dict[OwnKind, models.PayloadSchemaType | models.KeywordIndexParams] = {
        "text": _keyword_index(has_prefixes=has_prefixes),
        "number": models.PayloadSchemaType.FLOAT,
    }
    for name, kind in fields.items():
        if name not in existing:
            client.create_payload_index(collection, name, field_schema=schemas[kind], wait=True)


def _keyword_index(*, has_prefixes: bool) -> models.KeywordIndexParams:
    return models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, prefix=True if has_prefixes else None
    )


def index_payload(
    client: QdrantClient, collection: str, details: models.CollectionInfo, *, has_prefixes: bool
) -> None:
    """Make the payload indexes that a collection lacks; `has_prefixes`: the server knows them."""
    schemas: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
        **{
            name: _keyword_index(has_prefixes=has_prefixes)
            for name in (*KEYWORD_FIELDS, FIRST_LABEL)
        },
        **dict.fromkeys(INTEGER_FIELDS, models.PayloadSchemaType.INTEGER),
        **dict.fromkeys((*FLOAT_FIELDS, FIRST_LABEL_SCORE), models.PayloadSchemaType.FLOAT),
        **dict.fromkeys(DATETIME_FIELDS, models.PayloadSchemaType.DATETIME),
    }
    for field, schema in schemas.items():
        # Some are missing where an earlier run ended while it made the collection.
        if field not in details.payload_schema:
            client.create_payload_index(collection, field, field_schema=schema, wait=True)
