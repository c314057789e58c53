"""Stores by scheme. Each is one file with `build(source, options)` and `read(ref, options)`."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase

from schemas.errors import UsageError
from schemas.images import ImageRef
from schemas.options import StoreOptions
from workers.protocols import ObjectStore

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe",
    ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp",
})
# fmt: on

FOLDER_MARKER = "folder marker"
NOT_AN_IMAGE = "not an image by its suffix"
NOT_INCLUDED = "not included by a pattern"
EXCLUDED = "excluded by a pattern"
EMPTY = "zero bytes"


def build_store(source: str, options: StoreOptions) -> ObjectStore:
    """The store of `s3://bucket/prefix`, a folder, a file or a glob (also as a `file://` uri).

    Nothing is contacted yet. Raises UsageError for another scheme.
    """
    if source.startswith("s3://"):
        from workers.stores import s3

        return s3.build(source, options)
    if not source or re.match(r"(?!file://)[a-z][a-z0-9+.-]*://", source, re.IGNORECASE):
        raise UsageError(f"expected s3://bucket/prefix, a folder, a file or a glob, got {source!r}")
    from workers.stores import files

    return files.build(source, options)


def read(ref: ImageRef, options: StoreOptions) -> bytes:
    """The bytes of exactly the listed version, from whichever store lists it.

    Raises ObjectGoneError, ObjectChangedError, StoreAccessError, StoreUnavailableError.
    """
    if ref.store == "s3":
        from workers.stores import s3

        return s3.read(ref, options)
    from workers.stores import files

    return files.read(ref, options)


def find(ref: ImageRef, options: StoreOptions) -> ImageRef | None:
    """The same image in the version that is there now, None if it is there no more.

    Raises StoreAccessError, StoreUnavailableError.
    """
    if ref.store == "s3":
        from workers.stores import s3

        return s3.find(ref, options)
    from workers.stores import files

    return files.find(ref, options)


def reason_to_skip(key: str, size_bytes: int, options: StoreOptions) -> str | None:
    """Why a listed object is no image to be read, or None.

    A key without any suffix is an image only if an include pattern names it.
    """
    if key.endswith("/"):
        return FOLDER_MARKER
    suffix = os.path.splitext(key.rpartition("/")[2])[1].lower()
    if suffix not in IMAGE_SUFFIXES and (suffix or not options.include):
        return NOT_AN_IMAGE
    if options.include and not _matches(key, options.include):
        return NOT_INCLUDED
    if _matches(key, options.exclude):
        return EXCLUDED
    return EMPTY if size_bytes == 0 else None


def may_be_listed(key: str, options: StoreOptions) -> bool:
    """Whether an object of this key is an image to be read, as long as it is not empty."""
    return reason_to_skip(key, 1, options) is None


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
