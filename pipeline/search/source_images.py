"""Read again the images that a search is about: those of its hits, or the one it asks with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_to_bytes

from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import DecodedImage, Failure, ImageRef
from schemas.payload import PointPayload
from schemas.search import SearchHit

_AT_ONCE = 4  # images in memory


def ref_of(payload: PointPayload) -> ImageRef:
    """The image that a point is of, in the version that was indexed.

    An S3 object's size is not known, and 0; a file's stands in its version.
    """
    if payload.store == "s3":
        return ImageRef("s3", payload.bucket, payload.key, payload.version, size_bytes=0)
    size = payload.version.partition("-")[0]
    # The payload's key has replacement characters where a name is not UTF-8; the uri has not.
    key = _path(payload.uri)
    return ImageRef("file", "", key, payload.version, int(size) if size.isdecimal() else 0)


def images_of(hits: Sequence[SearchHit], settings: Settings) -> Iterator[DecodedImage | Failure]:
    """The image of each hit, in their order, read a few at a time; a Failure says why not."""
    from workers.images.read import read_images

    for start in range(0, len(hits), _AT_ONCE):
        refs = [ref_of(hit.payload) for hit in hits[start : start + _AT_ONCE]]
        distinct = list(dict.fromkeys(refs))
        read = read_images(distinct, settings.store, settings.decode, len(distinct))
        by_ref = dict(zip(distinct, read, strict=True))
        yield from (by_ref[ref] for ref in refs)


def read_picture(payload: PointPayload, settings: Settings) -> DecodedImage:
    """The image of a point, in the version that was indexed. Raises StoreError, BadImageError."""
    from workers.images.decode import decode
    from workers.stores.open import read

    ref = ref_of(payload)
    return decode(read(ref, settings.store), ref, settings.decode)


def query_image(place: str, settings: Settings) -> DecodedImage:
    """The image at a path or uri, whatever patterns `settings` select images by.

    Raises UsageError if there is none, BadImageError, StoreError.
    """
    from workers.images.decode import decode

    ref, data = _fetched(place, settings)
    return decode(data, ref, settings.decode)


def image_bytes(place: str, settings: Settings) -> bytes:
    """The file of `query_image`, as it is stored. Raises UsageError, StoreError."""
    return _fetched(place, settings)[1]


def _fetched(place: str, settings: Settings) -> tuple[ImageRef, bytes]:
    from workers.stores.open import build_store

    reasons: dict[str, str] = {}

    def skipped(reason: str, uri: str) -> None:
        reasons.setdefault(uri, reason)

    # A pattern that names everything: an image to search with needs no suffix.
    options = settings.store.model_copy(update={"include": ("*",), "exclude": ()})
    if not place.startswith("s3://") and not os.path.exists(_path(place)):
        raise UsageError(f"expected an image to search with, got nothing at {place!r}")
    store = build_store(place, options)
    # A whole key comes before all keys that it is a prefix of.
    ref = next(store.list_images(skipped), None)
    if ref is None or (ref.uri != place and ref.key != os.path.abspath(_path(place))):
        reason = next(iter(reasons.values()), "no such image")
        raise UsageError(f"expected an image to search with, got {place!r}: {reason}")
    return ref, store.read(ref)


def _path(place: str) -> str:
    if not place.startswith("file://"):
        return place
    return os.fsdecode(unquote_to_bytes(place.removeprefix("file://")))
