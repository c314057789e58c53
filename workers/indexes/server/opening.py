"""Opens the collection of a Qdrant server that is an index, or makes it."""

from __future__ import annotations

from qdrant_client import QdrantClient, models

from schemas.errors import EmbedderMismatchError, IndexMissingError
from schemas.named_vectors import NO_NAMED, NamedDims, find_missing
from schemas.options import IndexOptions
from schemas.payload import FIRST_LABEL, FIRST_LABEL_SCORE
from schemas.records import SPARSE_NAME, WORDS_NAME
from workers.backoff import Backoff
from workers.indexes.location import ServerAddress, server_address
from workers.indexes.server.collection import (
    add_named,
    add_sparse,
    create_collection,
    index_payload,
    read_dim,
    read_named,
)
from workers.indexes.server.connection import connect, raising_index_errors, read_features
from workers.indexes.server.index import ServerIndex
from workers.indexes.server.layout import CollectionLayout


def build(
    options: IndexOptions,
    dim: int | None,
    *,
    create: bool = False,
    client: QdrantClient | None = None,
    layout: CollectionLayout | None = None,
    named: NamedDims = NO_NAMED,
) -> ServerIndex:
    """Open the collection that `options.location` names, or make it; see `open_index`.

    Nothing is retried here: an address where there has never been a server fails at once. `client`
    takes the place of one that connects to the address in `options`; `layout` is of a collection
    that is made.
    """
    address = server_address(options.location)
    if client is None:
        client = connect(address, options)
    with raising_index_errors(address):
        exists = client.collection_exists(address.collection)
        features = read_features(client, address)
        if not exists:
            if not create or dim is None:
                raise IndexMissingError(
                    f"there is no collection {address.collection!r} on the Qdrant server "
                    f"at {address.url}"
                )
            create_collection(client, address.collection, dim, layout, named)
        details = client.get_collection(address.collection)
        stored = _require_dim(details, dim, address)
        sparse = SPARSE_NAME in (details.config.params.sparse_vectors or {})
        if create:
            place = f"{address.url}/{address.collection}"
            missing = find_missing(read_named(details), named, place)
            add_named(client, address.collection, missing, address)
            index_payload(client, address.collection, details, has_prefixes=features.has_prefixes)
            sparse = add_sparse(client, address.collection, details)
    return ServerIndex(
        client,
        address,
        stored,
        options.upsert_batch,
        Backoff(options.retry_budget_s, kind="index"),
        has_words=WORDS_NAME in (details.config.params.sparse_vectors or {}),
        has_sparse=sparse,
        counts_first_labels={FIRST_LABEL, FIRST_LABEL_SCORE} <= details.payload_schema.keys(),
        features=features,
        is_quantized=details.config.quantization_config is not None,
    )


def _require_dim(details: models.CollectionInfo, dim: int | None, address: ServerAddress) -> int:
    """How many numbers the vectors have. Raises EmbedderMismatchError unless these are `dim`."""
    stored = read_dim(details, address)
    if dim is not None and dim != stored:
        raise EmbedderMismatchError(
            f"the collection {address.collection!r} at {address.url} holds vectors of "
            f"{stored} numbers, but the embedder makes vectors of {dim}"
        )
    return stored
