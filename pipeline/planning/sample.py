"""Looks at a few images of a source: how many there are, how large, how long a read takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from pipeline.ingestion.listing import describe_nothing, list_images
from schemas.errors import BadImageError, StoreError, UsageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions
from workers.images.decode import decode
from workers.images.formats import find_format
from workers.stores.open import read

LISTED = 5_000
"""Images that are listed of a source that is not counted: five pages of S3."""


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One that was read and decoded, and how long both took; `format` as Pillow calls it."""

    pixels: int
    format: str
    read_s: float
    decode_s: float


@dataclass(frozen=True)
class Sample:
    """What a source holds, by its listing and some of its images.

    `is_complete`: the listing came to its end, and so `refs` are all. `unreadable` images of the
    sample could not be read or decoded; `skipped` is what the listing left out, by reason.
    """

    refs: tuple[ImageRef, ...]
    is_complete: bool
    list_s: float
    images: tuple[ReadImage, ...]
    unreadable: int
    skipped: Counter[str]

    @property
    def from_s3(self) -> bool:
        return self.refs[0].store == "s3"

    @property
    def list_page_s(self) -> float:
        """Seconds that a thousand keys took."""
        return self.list_s / len(self.refs) * 1000

    @property
    def image_bytes(self) -> float:
        """A mean of what was listed, which is more than what was read."""
        return sum(ref.size_bytes for ref in self.refs) / len(self.refs)

    @property
    def megapixels(self) -> float:
        """A mean of an image."""
        return sum(image.pixels for image in self.images) / len(self.images) / 1e6

    @property
    def read_s(self) -> float:
        """A mean of an image, with no other in flight."""
        return sum(image.read_s for image in self.images) / len(self.images)

    @property
    def decode_mpx_s(self) -> float:
        """Of a megapixel."""
        pixels = sum(image.pixels for image in self.images)
        return sum(image.decode_s for image in self.images) / pixels * 1e6

    @property
    def formats(self) -> Counter[str]:
        """Images of the sample by format, the most frequent first."""
        return Counter(dict(Counter(image.format for image in self.images).most_common()))


def take_sample(
    sources: Sequence[str],
    store: StoreOptions,
    decode_options: DecodeOptions,
    images: int,
    most_listed: int | None = LISTED,
) -> Sample:
    """Lists at most `most_listed` images (None: all) and reads `images` of them, spread evenly.

    Raises UsageError where there are no images, or none of the sample can be read, and what stores
    raise when they cannot be listed.
    """
    skipped = Counter[str]()

    def skip(reason: str, uri: str) -> None:
        skipped[reason] += 1

    started = time.perf_counter()
    listing = list_images(sources, store.without_videos(), skip)
    refs = tuple(islice(listing, most_listed))
    list_s = time.perf_counter() - started
    if not refs:
        raise UsageError(describe_nothing(sources, skipped, store))
    is_complete = most_listed is None or next(listing, None) is None
    chosen = spread(refs, images)
    read_images = [each for ref in chosen if (each := _read(ref, store, decode_options))]
    if not read_images:
        raise UsageError(f"none of {len(chosen)} images of {' '.join(sources)} can be read")
    unreadable = len(chosen) - len(read_images)
    return Sample(refs, is_complete, list_s, tuple(read_images), unreadable, skipped)


def spread(refs: Sequence[ImageRef], count: int) -> list[ImageRef]:
    """`count` of them at equal distances, or all where there are fewer."""
    if len(refs) <= count:
        return list(refs)
    return [refs[(2 * number + 1) * len(refs) // (2 * count)] for number in range(count)]


def _read(ref: ImageRef, store: StoreOptions, options: DecodeOptions) -> ReadImage | None:
    """None for an image that a run would count as rejected or failed."""
    started = time.perf_counter()
    try:
        data = read(ref, store)
        fetched = time.perf_counter()
        decoded = decode(data, ref, options)
    except (BadImageError, StoreError):
        return None
    ended = time.perf_counter()
    height, width = decoded.size_hw
    return ReadImage(
        pixels=height * width,
        format=find_format(data) or "another",
        read_s=fetched - started,
        decode_s=ended - fetched,
    )
