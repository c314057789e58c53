"""Generations of an index on a Qdrant server: a collection each, and an alias."""

from __future__ import annotations

from contextlib import closing

from qdrant_client import QdrantClient, models

from schemas.options import IndexOptions
from workers.indexes.generations import FIRST
from workers.indexes.location import server_address
from workers.indexes.server.index import connect, mapped

_OTHERS = ".generation-"
_ALIAS = ".current"


class ServerGenerations:
    """Those of a collection."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options
        self._address = server_address(options.location)
        self._first = self._address.collection
        self._alias = self._first + _ALIAS

    def names(self) -> list[str]:
        with mapped(self._address), self._asked() as client:
            there = {one.name for one in client.get_collections().collections}
        start = self._first + _OTHERS
        others = sorted(name.removeprefix(start) for name in there if name.startswith(start))
        return [FIRST, *others] if self._first in there else others

    def current(self) -> str:
        with mapped(self._address), self._asked() as client:
            named = self._named(client)
        return FIRST if named is None else named.removeprefix(self._first + _OTHERS)

    def location(self, name: str) -> str:
        return f"{self._address.url}/{self._collection(name)}"

    def use(self, name: str) -> None:
        with mapped(self._address), self._asked() as client:
            operations: list[models.AliasOperations] = []
            if self._named(client) is not None:
                gone = models.DeleteAlias(alias_name=self._alias)
                operations.append(models.DeleteAliasOperation(delete_alias=gone))
            if name != FIRST:
                named = models.CreateAlias(
                    collection_name=self._collection(name), alias_name=self._alias
                )
                operations.append(models.CreateAliasOperation(create_alias=named))
            # Of one request all changes are made at once.
            if operations:
                client.update_collection_aliases(operations)

    def drop(self, name: str) -> None:
        with mapped(self._address), self._asked() as client:
            client.delete_collection(self._collection(name))

    def _collection(self, name: str) -> str:
        return self._first if name == FIRST else self._first + _OTHERS + name

    def _named(self, client: QdrantClient) -> str | None:
        """The collection that the alias stands for."""
        aliases = client.get_aliases().aliases
        return next((one.collection_name for one in aliases if one.alias_name == self._alias), None)

    def _asked(self) -> closing[QdrantClient]:
        return closing(connect(self._address, self._options))
