"""Builds the changes of points of a Qdrant server: other labels, other tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qdrant_client import models

from schemas.points import PointLabels
from schemas.records import WORDS_NAME
from schemas.tags import TAGS, Tags
from workers.indexes.points import labels_payload
from workers.indexes.server.queries import to_sparse


def label_operations(
    items: Sequence[PointLabels], labelled_by: str, *, with_words: bool
) -> list[models.UpdateOperation]:
    """What gives points that are there other labels, and other words where these have a place."""
    operations: list[models.UpdateOperation] = []
    vectors: list[models.PointVectors] = []
    for item in items:
        payload = models.SetPayload(
            payload=labels_payload(item, labelled_by), points=[item.point_id]
        )
        operations.append(models.SetPayloadOperation(set_payload=payload))
        if with_words:
            words = {WORDS_NAME: to_sparse(item.words)}
            vectors.append(models.PointVectors(id=item.point_id, vector={**words}))
    if vectors:
        update = models.UpdateVectors(points=vectors)
        operations.append(models.UpdateVectorsOperation(update_vectors=update))
    return operations


def tag_operations(tags: Mapping[str, Tags]) -> list[models.UpdateOperation]:
    """What gives points these tags, by id; without any a point has no such field."""
    operations: list[models.UpdateOperation] = []
    for name, each in tags.items():
        if each:
            payload = models.SetPayload(payload={TAGS: [*each]}, points=[name])
            operations.append(models.SetPayloadOperation(set_payload=payload))
        else:
            keys = models.DeletePayload(keys=[TAGS], points=[name])
            operations.append(models.DeletePayloadOperation(delete_payload=keys))
    return operations
