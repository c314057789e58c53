"""What a store lists."""

from __future__ import annotations

from schemas.images import ImageRef
from workers.protocols import ObjectStore


def listed(store: ObjectStore) -> tuple[list[ImageRef], list[tuple[str, str]]]:
    """The images, and (reason, uri) of what was skipped."""
    skipped: list[tuple[str, str]] = []
    return list(store.list_images(lambda reason, uri: skipped.append((reason, uri)))), skipped
