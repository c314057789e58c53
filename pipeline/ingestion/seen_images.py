"""Tells which images of a listing were there before, in 16 bytes an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.manifest.image_keys import Keys, KeySet, keys_of_ids, keys_of_images
from schemas.ids import image_id_bytes
from schemas.images import ImageRef
from workers.batching import batched
from workers.protocols import Skipped

LISTED_TWICE = "listed more than once"
_LOOKED_UP_AT_ONCE = 500
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
            seen = SeenImages(keys_of_ids(in_order))
            in_order.clear()
            yield from _take_new([ref], seen, repeated)
            for batch in batched(refs, _LOOKED_UP_AT_ONCE):
                yield from _take_new(batch, seen, repeated)


def _take_new(refs: list[ImageRef], seen: SeenImages, repeated: Skipped) -> Iterator[ImageRef]:
    for ref, is_new in zip(refs, seen.add(refs).tolist(), strict=True):
        if is_new:
            yield ref
        else:
            repeated(LISTED_TWICE, ref.uri)


class SeenImages:
    """A set of images that grows, kept as sorted sets of their keys: small ones are merged."""

    def __init__(self, keys: Keys) -> None:
        size = _LARGEST_MERGED
        starts = range(0, len(keys), size)
        self._sets = [KeySet([keys[start : start + size]]) for start in starts]

    def add(self, refs: list[ImageRef]) -> npt.NDArray[np.bool_]:
        """bool (n,): whether each is new."""
        keys = keys_of_images(refs)
        is_new = np.zeros(len(keys), bool)
        is_new[np.unique(keys, axis=0, return_index=True)[1]] = True
        for known in self._sets:
            is_new &= ~known.has(keys)
        if is_new.any():
            self._merge(KeySet([keys[is_new]]))
        return is_new

    def _merge(self, added: KeySet) -> None:
        # Each is at least as large as all after it: a key is merged some twenty times.
        while self._sets and len(self._sets[-1]) <= len(added) < _LARGEST_MERGED:
            added = KeySet([self._sets.pop().keys(), added.keys()])
        self._sets.append(added)
