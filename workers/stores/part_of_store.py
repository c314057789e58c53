"""Narrows a store to the part of it that a job takes: a shard, a range of keys, or both."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.ids import image_id_bytes
from schemas.images import ImageRef
from schemas.listed_part import KeyRange, Shard
from workers.protocols import ObjectStore, Skipped

_HASH_BYTES = 6  # of an id; in the seventh is the version of UUIDs


class PartOfStore:
    """What a store lists, as far as it is in the part; the parts of a source are all of it."""

    def __init__(self, store: ObjectStore, shard: Shard | None, keys: KeyRange | None) -> None:
        self._store = store
        self._shard = shard
        self._keys = keys

    def list_images(self, skipped: Skipped) -> Iterator[ImageRef]:
        """Whatever is left out is told by the job whose part it would be in."""

        def skip(reason: str, uri: str) -> None:
            if self._has_uri(uri):
                skipped(reason, uri)

        listing = self._store.list_images(skip)
        return (ref for ref in listing if self._has(ref))

    def covers(self, ref: ImageRef) -> bool:
        """See `ObjectStore.covers`."""
        return self._store.covers(ref) and self._has(ref)

    def read(self, ref: ImageRef) -> bytes:
        return self._store.read(ref)

    def _has(self, ref: ImageRef) -> bool:
        if self._keys is not None and not self._keys.has(ref.key):
            return False
        return self._shard is None or shard_of(ref, self._shard.count) == self._shard.number

    def _has_uri(self, uri: str) -> bool:
        try:
            return self._has(ImageRef.from_uri(uri, version="", size_bytes=0))
        except ValueError:  # an object without a key is told by the first shard
            return self._shard is None or self._shard.number == 1


def shard_of(ref: ImageRef, count: int) -> int:
    """The number, from 1, of the shard of `count` that an image is in."""
    return int.from_bytes(image_id_bytes(ref)[:_HASH_BYTES], "big") % count + 1
