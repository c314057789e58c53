"""Decides which listed objects are images to be read."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from schemas.options import StoreOptions

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe",
    ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp",
})

FOLDER_MARKER = "folder marker"

NOT_AN_IMAGE = "not an image by its suffix"

NOT_INCLUDED = "not included by a pattern"

EXCLUDED = "excluded by a pattern"

EMPTY = "zero bytes"

ARCHIVED = "archived, to be restored first"

UNNAMED = "listed without a key"


def reason_to_skip(key: str, size_bytes: int | None, options: StoreOptions) -> str | None:
    """Why a listed object is not read as an image; None if it is. `size_bytes` None: not known.

    A key without a suffix is an image only if an include pattern matches it.
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
    """Whether an object of this key is read as an image, unless it is empty."""
    return reason_to_skip(key, 1, options) is None


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
