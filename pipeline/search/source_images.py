"""Reads source images again: those of hits, and those that a query names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_to_bytes

from pipeline.settings import Settings
from schemas.errors import UsageError
from schemas.images import DecodedImage, Failure, ImageRef
from schemas.payload import PointPayload
from workers.batching import batched
from workers.stores.file_version import size_of

_MAX_IN_MEMORY = 4  # images


def image_ref(payload: PointPayload) -> ImageRef:
    """The image of a point, in the version that was indexed.

    The size of an S3 object is unknown, so 0; that of a file is part of its version. What is in a
    video has the frame that shows it best.
    """
    version, time_s = payload.version, payload.t_key
    if payload.store == "http":
        return ImageRef.from_uri(payload.uri, version, 0)
    if payload.store == "s3":
        return ImageRef("s3", payload.bucket, payload.key, version, size_bytes=0, time_s=time_s)
    # The payload's key has replacement characters where a name is not UTF-8; the uri has not.
    key = _path(payload.uri)
    return ImageRef("file", "", key, version, size_of(version), time_s=time_s)


def read_source_images(
    payloads: Sequence[PointPayload], settings: Settings
) -> Iterator[DecodedImage | Failure]:
    """The image of each point, in their order, read a few at a time, or why it cannot be read."""
    from workers.read_images import read_images

    for batch in batched(payloads, _MAX_IN_MEMORY):
        refs = [image_ref(payload) for payload in batch]
        distinct = list(dict.fromkeys(refs))
        read = read_images(distinct, settings.store, settings.decode, len(distinct))
        by_ref = dict(zip(distinct, read, strict=True))
        yield from (by_ref[ref] for ref in refs)


def read_source_image(payload: PointPayload, settings: Settings) -> DecodedImage:
    """The image of a point, in the version that was indexed. Raises StoreError, BadImageError."""
    from workers.read_images import read_image

    return read_image(image_ref(payload), settings.store, settings.decode)


def query_image(location: str, settings: Settings) -> DecodedImage:
    """The image at a path or uri, whatever patterns `settings` select images by.

    Raises UsageError if there is none, BadImageError, StoreError.
    """
    from workers.images.decode import decode

    ref, data = _fetch(location, settings)
    return decode(data, ref, settings.decode)


def image_bytes(location: str, settings: Settings) -> bytes:
    """The file of `query_image`, as it is stored. Raises UsageError, StoreError."""
    return _fetch(location, settings)[1]


def _fetch(location: str, settings: Settings) -> tuple[ImageRef, bytes]:
    from workers.stores.open import build_store

    reasons: dict[str, str] = {}

    def skip(reason: str, uri: str) -> None:
        reasons.setdefault(uri, reason)

    # A pattern that everything matches: an image to search with needs no suffix.
    options = settings.store.model_copy(update={"include": ("*",), "exclude": ()})
    if not location.startswith("s3://") and not os.path.exists(_path(location)):
        raise UsageError(f"expected an image to search with, got nothing at {location!r}")
    store = build_store(location, options)
    # A key is listed before all longer keys that it is a prefix of.
    ref = next(store.list_images(skip), None)
    if ref is None or (ref.uri != location and ref.key != os.path.abspath(_path(location))):
        reason = next(iter(reasons.values()), "no such image")
        raise UsageError(f"expected an image to search with, got {location!r}: {reason}")
    return ref, store.read(ref)


def _path(location: str) -> str:
    if not location.startswith("file://"):
        return location
    return os.fsdecode(unquote_to_bytes(location.removeprefix("file://")))
