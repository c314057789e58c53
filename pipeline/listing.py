"""Sources to chunks of images, streamed and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.stores import build_store


@dataclass(slots=True)
class ListingCounts:
    """What has been listed so far: images, and what was skipped, by reason."""

    listed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def skip(self, reason: str, uri: str) -> None:
        """Count one skipped object; a `Skipped` for `ObjectStore.list_images`."""
        self.skipped[reason] += 1


def chunks(
    sources: Sequence[str],
    options: StoreOptions,
    size: int,
    limit: int | None,
    counts: ListingCounts,
) -> Iterator[list[ImageRef]]:
    """Chunks of `size` images (the last may be smaller), the same for the same sources.

    Streamed: `counts` grows as chunks are taken. A source given twice is listed once. Raises
    UsageError, StoreAccessError or StoreUnavailableError at once if any source cannot be listed.
    """
    stores = [build_store(source, options) for source in dict.fromkeys(sources)]
    listings = [store.list_images(counts.skip) for store in stores]
    return _chunked(islice(chain.from_iterable(listings), limit), size, counts)


def _chunked(
    refs: Iterable[ImageRef], size: int, counts: ListingCounts
) -> Iterator[list[ImageRef]]:
    refs = iter(refs)
    while chunk := list(islice(refs, size)):
        counts.listed += len(chunk)
        yield chunk
