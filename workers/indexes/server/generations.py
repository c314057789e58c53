"""Keeps generations of an index on a Qdrant server: a collection each, and an alias."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from qdrant_client import QdrantClient, models

from schemas.options import IndexOptions
from workers.indexes.generations import FIRST
from workers.indexes.location import server_address
from workers.indexes.server.connection import connect, raising_index_errors

_OTHERS = ".generation-"
_ALIAS = ".current"


class ServerGenerations:
    """The generations of a collection, which may be called by an alias of it."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options
        self._address = server_address(options.location)
        self._found_first: str | None = None

    def names(self) -> list[str]:
        with self._connect() as client:
            first = self._first(client)
            names = {entry.name for entry in client.get_collections().collections}
        start = first + _OTHERS
        others = sorted(name.removeprefix(start) for name in names if name.startswith(start))
        return [FIRST, *others] if first in names else others

    def current(self) -> str:
        with self._connect() as client:
            collection = self._find_current(client)
            first = self._first(client)
        return FIRST if collection is None else collection.removeprefix(first + _OTHERS)

    def location(self, name: str) -> str:
        if self._found_first is None:
            with self._connect() as client:
                self._read_aliases(client)
        return f"{self._address.url}/{self._collection(name)}"

    def use(self, name: str) -> None:
        with self._connect() as client:
            operations: list[models.AliasOperations] = []
            alias = self._first(client) + _ALIAS
            if self._find_current(client) is not None:
                deleted = models.DeleteAlias(alias_name=alias)
                operations.append(models.DeleteAliasOperation(delete_alias=deleted))
            if name != FIRST:
                created = models.CreateAlias(
                    collection_name=self._collection(name), alias_name=alias
                )
                operations.append(models.CreateAliasOperation(create_alias=created))
            # The changes of one request are made at once.
            if operations:
                client.update_collection_aliases(operations)

    def drop(self, name: str) -> None:
        with self._connect() as client:
            self._first(client)
            client.delete_collection(self._collection(name))

    def _collection(self, name: str) -> str:
        first = self._found_first or self._address.collection
        return first if name == FIRST else first + _OTHERS + name

    def _first(self, client: QdrantClient) -> str:
        """The collection of the first generation: what the index's name stands for."""
        if self._found_first is None:
            self._read_aliases(client)
        return self._collection(FIRST)

    def _read_aliases(self, client: QdrantClient) -> dict[str, str]:
        """The collections that aliases stand for."""
        entries = client.get_aliases().aliases
        aliases = {entry.alias_name: entry.collection_name for entry in entries}
        name = self._address.collection
        # Decided once: the alias may come to stand for another collection meanwhile.
        self._found_first = self._found_first or aliases.get(name, name)
        return aliases

    def _find_current(self, client: QdrantClient) -> str | None:
        """The collection that the alias for the generation in use stands for, None without one."""
        aliases = self._read_aliases(client)
        return aliases.get(self._first(client) + _ALIAS)

    @contextmanager
    def _connect(self) -> Iterator[QdrantClient]:
        with (
            raising_index_errors(self._address),
            closing(connect(self._address, self._options)) as client,
        ):
            yield client
