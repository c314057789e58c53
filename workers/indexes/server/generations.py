"""Keeps generations of an index on a Qdrant server: a collection each, and an alias."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from qdrant_client import QdrantClient, models

from schemas.options import IndexOptions
from workers.indexes.generations import FIRST
from workers.indexes.location import server_address
from workers.indexes.server.index import connect, raising_index_errors

_OTHERS = ".generation-"
_ALIAS = ".current"


class ServerGenerations:
    """The generations of a collection."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options
        self._address = server_address(options.location)
        self._first = self._address.collection
        self._alias = self._first + _ALIAS

    def names(self) -> list[str]:
        with self._connect() as client:
            names = {entry.name for entry in client.get_collections().collections}
        start = self._first + _OTHERS
        others = sorted(name.removeprefix(start) for name in names if name.startswith(start))
        return [FIRST, *others] if self._first in names else others

    def current(self) -> str:
        with self._connect() as client:
            collection = self._find_current(client)
        if collection is None:
            return FIRST
        return collection.removeprefix(self._first + _OTHERS)

    def location(self, name: str) -> str:
        return f"{self._address.url}/{self._collection(name)}"

    def use(self, name: str) -> None:
        with self._connect() as client:
            operations: list[models.AliasOperations] = []
            if self._find_current(client) is not None:
                deleted = models.DeleteAlias(alias_name=self._alias)
                operations.append(models.DeleteAliasOperation(delete_alias=deleted))
            if name != FIRST:
                created = models.CreateAlias(
                    collection_name=self._collection(name), alias_name=self._alias
                )
                operations.append(models.CreateAliasOperation(create_alias=created))
            # The changes of one request are made at once.
            if operations:
                client.update_collection_aliases(operations)

    def drop(self, name: str) -> None:
        with self._connect() as client:
            client.delete_collection(self._collection(name))

    def _collection(self, name: str) -> str:
        return self._first if name == FIRST else self._first + _OTHERS + name

    def _find_current(self, client: QdrantClient) -> str | None:
        """The collection that the alias stands for, None without an alias."""
        aliases = {entry.alias_name: entry for entry in client.get_aliases().aliases}
        return aliases[self._alias].collection_name if self._alias in aliases else None

    @contextmanager
    def _connect(self) -> Iterator[QdrantClient]:
        with (
            raising_index_errors(self._address),
            closing(connect(self._address, self._options)) as client,
        ):
            yield client
