"""Counts the values of a field in a collection of a Qdrant server."""

from __future__ import annotations

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from schemas.tags import TAGS

_NO_INDEX = b"for faceting"
"""What a server says of a field that it has no index of."""


def count_values(
    client: QdrantClient, collection: str, field: str, where: models.Filter | None, most: int
) -> dict[str, int]:
    """How many points under a filter have each value; at most `most` values.

    A collection that is older than tags has no index of them until the first is given.
    """
    try:
        hits = client.facet(collection, field, facet_filter=where, limit=most, exact=True).hits
    except UnexpectedResponse as exc:
        if field == TAGS and _NO_INDEX in exc.content:
            return {}
        raise
    # Values that deleted points had may still be listed.
    return {str(hit.value): hit.count for hit in hits if hit.count}
