"""Lists sources as a stream of chunks of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from pipeline.ingestion.seen_images import drop_repeated
from pipeline.manifest.image_keys import Keys, keys_of_images
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.batching import batched
from workers.protocols import Skipped
from workers.stores.open import build_store
from workers.stores.selection import ARCHIVED

LISTED_AT_ONCE = 500
"""Images held against the manifest together: for a few at a time that takes many times as long."""


def list_chunks(
    sources: Sequence[str], options: StoreOptions, size: int, limit: int | None, skipped: Skipped
) -> Iterator[list[ImageRef]]:
    """Chunks of `size` images (the last may be smaller), the same for the same sources.

    Streamed: see `list_images`.
    """
    return batched(islice(list_images(sources, options, skipped), limit), size)


def list_images(
    sources: Sequence[str], options: StoreOptions, skipped: Skipped
) -> Iterator[ImageRef]:
    """Every image of the sources, once; `skipped` counts what is left out.

    Several sources may name an image; one that names it twice by itself is wrong, and what comes
    again counts as skipped. Raises UsageError, StoreAccessError or StoreUnavailableError at once if
    any source cannot be listed.
    """
    stores = [build_store(source, options) for source in dict.fromkeys(sources)]
    listings = [store.list_images(skipped) for store in stores]
    repeated = skipped if len(listings) == 1 else ignore_skipped
    return drop_repeated(chain.from_iterable(listings), repeated)


def describe_nothing(
    sources: Sequence[str], skipped: Mapping[str, int], options: StoreOptions
) -> str:
    """The sentence for sources in which there is no image, with what was `skipped`, by reason."""
    reasons = ", ".join(f"{number:,} as {reason}" for reason, number in sorted(skipped.items()))
    within = options.key_range
    return (
        f"no images under {' '.join(sources)}"
        + (f" in the range of keys {within!r}" if within else "")
        + (f" (skipped: {reasons})" if reasons else "")
    )


def ignore_skipped(reason: str, uri: str) -> None:
    """For those who need not know what a listing leaves out."""


class ArchivedImages:
    """A `Skipped` that collects the images which are archived: there, though not to be read."""

    def __init__(self, skipped: Skipped = ignore_skipped) -> None:
        """`skipped` is told as well."""
        self._skipped = skipped
        self._refs: list[ImageRef] = []
        self._keys: list[Keys] = []

    def __call__(self, reason: str, uri: str) -> None:
        self._skipped(reason, uri)
        if reason == ARCHIVED:
            self._refs.append(ImageRef.from_uri(uri, version="", size_bytes=0))
            if len(self._refs) == LISTED_AT_ONCE:
                self._pack()

    def keys(self) -> list[Keys]:
        """The keys of those so far."""
        self._pack()
        return self._keys

    def _pack(self) -> None:
        self._keys.append(keys_of_images(self._refs))
        self._refs.clear()


def last_chunk_size(left: int, most: int, workers: int) -> int:
    """Images for the next chunk where `left` images are all that is left to do, at most `most`.

    Half of a worker's share (guided self-scheduling, Polychronopoulos and Kuck, 1987): chunks get
    smaller towards the end, so that no worker waits long for the last chunk of another. One alone
    has nobody to wait for.
    """
    if workers == 1:
        return min(most, left)
    return min(most, math.ceil(left / (2 * workers)))
