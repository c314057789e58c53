"""Makes a collection of a Qdrant server with a layout, as the first ingest would without one."""

from __future__ import annotations

from contextlib import closing

from schemas.errors import EmbedderMismatchError, UsageError
from schemas.options import IndexOptions
from workers.indexes.location import server_address
from workers.indexes.server import opening
from workers.indexes.server.collection import read_dim
from workers.indexes.server.connection import (
    ServerFeatures,
    connect,
    raising_index_errors,
    read_features,
)
from workers.indexes.server.layout import CollectionLayout


def ask_features(options: IndexOptions) -> ServerFeatures:
    """What the server of `options.location` can do. Raises IndexUnavailableError, UsageError."""
    address = server_address(options.location)
    with closing(connect(address, options)) as client, raising_index_errors(address):
        return read_features(client, address)


def set_up(options: IndexOptions, dim: int, layout: CollectionLayout) -> bool:
    """Make the collection for vectors of `dim` numbers, and its payload indexes.

    Returns whether it was made: False where it is there with this layout. Raises UsageError where
    it is there with another one, EmbedderMismatchError for vectors of another length, and what
    keeps the server from being used.
    """
    address = server_address(options.location)
    with closing(connect(address, options)) as client, raising_index_errors(address):
        exists = client.collection_exists(address.collection)
        if exists:
            details = client.get_collection(address.collection)
            stored = read_dim(details, address)
            if stored != dim:
                raise EmbedderMismatchError(
                    f"the collection {address.collection!r} at {address.url} holds vectors of "
                    f"{stored} numbers, and is to be set up for {dim}"
                )
            for name, there, wanted in layout.list_differences(details.config):
                raise UsageError(
                    f"the collection {address.collection!r} at {address.url} is there already, "
                    f"with {name} {there} where {wanted} was chosen: nothing of it is changed"
                )
    opening.build(options, dim, create=True, layout=layout).close()
    return not exists
