"""What a stand-in for a Qdrant server remembers of how collections were made."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

_OF_PARAMS = (
    "shard_number",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
)


class KeptSettings:
    """The settings of collections by name, as they were made and updated."""

    def __init__(self) -> None:
        self._made: dict[str, models.CreateCollection] = {}

    def after(self, operation: str, collection: str, body: Any, result: Any) -> Any:
        """The result of a request that was done, as a server would give it."""
        if operation == "PUT /":
            self._made[collection] = models.CreateCollection.model_validate(body)
        elif operation == "PATCH /":
            self._update(collection, body)
        elif operation == "GET /":
            return self._complete(collection, result)
        return result

    def _update(self, collection: str, body: Any) -> None:
        """Remember what of the graph is changed; of the rest nothing can be."""
        changed = models.UpdateCollection.model_validate(body)
        made = self._made[collection]
        graph = (made.hnsw_config or models.HnswConfigDiff()).model_copy(
            update=changed.hnsw_config.model_dump(exclude_none=True) if changed.hnsw_config else {}
        )
        self._made[collection] = made.model_copy(update={"hnsw_config": graph})

    def _complete(self, collection: str, info: models.CollectionInfo) -> models.CollectionInfo:
        """What the engine says of a collection, with what it was made with."""
        made = self._made.get(collection)
        if made is None:
            return info
        config = info.config
        params = config.params.model_copy(
            update={name: getattr(made, name) for name in _OF_PARAMS if getattr(made, name)}
        )
        graph = made.hnsw_config.model_dump(exclude_none=True) if made.hnsw_config else {}
        kept = config.model_copy(
            update={
                "params": params,
                "hnsw_config": config.hnsw_config.model_copy(update=graph),
                "quantization_config": made.quantization_config,
            }
        )
        return info.model_copy(update={"config": kept})
