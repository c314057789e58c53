"""Tells which images of a listing were there before, in 16 bytes an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.manifest.image_keys import KeySet, keys_of_ids
from schemas.ids import image_id_bytes, image_ids_bytes
from schemas.images import ImageRef
from workers.batching import batched
from workers.protocols import Skipped

LISTED_TWICE = "listed more than once"
_ID_BYTES = 16
_LOOKED_UP_AT_ONCE = 500
# A Python set takes six times the memory of the ids in it.
_LATEST = 1 << 16
# Merging two sets takes five times their memory for a moment: larger ones stay as they are.
_LARGEST_MERGED = 1 << 20


def drop_repeated(refs: Iterable[ImageRef], repeated: Skipped) -> Iterator[ImageRef]:
    """Every image once, in the order in which they come first; `repeated` is told the others.

    Stores list in the order of their keys. As long as they do, only the last key can come again,
    and images are passed on one by one; after the first that is out of order, as those of an
    inventory are, some hundred are looked up at a time.
    """
    refs = iter(refs)
    last = ("", "", "")
    in_order = bytearray()
    for ref in refs:
        place = (ref.store, ref.bucket, ref.key)
        if place > last:
            last = place
            in_order += image_id_bytes(ref)
            yield ref
        elif place == last:
            repeated(LISTED_TWICE, ref.uri)
        else:
            seen = SeenImages(in_order)
            in_order.clear()
            yield from _take_new([ref], seen, repeated)
            for batch in batched(refs, _LOOKED_UP_AT_ONCE):
                yield from _take_new(batch, seen, repeated)


def _take_new(refs: list[ImageRef], seen: SeenImages, repeated: Skipped) -> Iterator[ImageRef]:
    for ref, is_new in zip(refs, seen.add(refs), strict=True):
        if is_new:
            yield ref
        else:
            repeated(LISTED_TWICE, ref.uri)


class SeenImages:
    """A set of images that grows: the latest ids, and all before them as sorted sets of keys."""

    def __init__(self, ids: bytearray) -> None:
        """`ids` follow one another, each once."""
        starts = range(0, len(ids), _LARGEST_MERGED * _ID_BYTES)
        pieces = (ids[start : start + _LARGEST_MERGED * _ID_BYTES] for start in starts)
        self._sets = [KeySet([keys_of_ids(piece)]) for piece in pieces]
        self._latest: set[bytes] = set()

    def add(self, refs: list[ImageRef]) -> list[bool]:
        """Whether each is new."""
        together = image_ids_bytes(refs).tobytes()
        keys = keys_of_ids(together)
        known = np.zeros(len(keys), bool)
        for earlier in self._sets:
            known |= earlier.has(keys)
        is_new = []
        for number, is_known in enumerate(known.tolist()):
            identity = together[number * _ID_BYTES : (number + 1) * _ID_BYTES]
            is_new.append(not is_known and identity not in self._latest)
            if is_new[-1]:
                self._latest.add(identity)
        if len(self._latest) >= _LATEST:
            self._merge(KeySet([keys_of_ids(b"".join(self._latest))]))
            self._latest.clear()
        return is_new

    def _merge(self, added: KeySet) -> None:
        # Each is at least as large as all after it: a key is merged a few times.
        while self._sets and len(self._sets[-1]) <= len(added) < _LARGEST_MERGED:
            added = KeySet([self._sets.pop().keys(), added.keys()])
        self._sets.append(added)
