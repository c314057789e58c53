"""Decides which listed objects are images or videos to be read."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec

from schemas.options import StoreOptions

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe",
    ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp",
})
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".m2ts", ".ts",
    ".webm", ".wmv",
})
ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})
# fmt: on

FOLDER_MARKER = "folder marker"

NOT_AN_IMAGE = "not an image by its suffix"

NO_VIDEO_READER = "a video, for which PyAV is needed: pip install 'objseek[video]'"

NOT_INCLUDED = "not included by a pattern"

EXCLUDED = "excluded by a pattern"

EMPTY = "zero bytes"

ARCHIVED = "archived, to be restored first"

UNNAMED = "listed without a key"

DELETE_MARKER = "deleted: a delete marker"

OLDER_VERSION = "an older version"


def reason_to_skip(key: str, size_bytes: int | None, options: StoreOptions) -> str | None:
    """Why a listed object is not read; None if it is. `size_bytes` None: not known.

    A key without a suffix is an image only if an include pattern matches it.
    """
    if key.endswith("/"):
        return FOLDER_MARKER
    suffix = _suffix_of(key)
    if options.videos and suffix in VIDEO_SUFFIXES:
        if not can_read_videos():
            return NO_VIDEO_READER
    elif suffix not in IMAGE_SUFFIXES and (suffix or not options.include):
        return NOT_AN_IMAGE
    if options.include and not _matches(key, options.include):
        return NOT_INCLUDED
    if _matches(key, options.exclude):
        return EXCLUDED
    return EMPTY if size_bytes == 0 else None


def is_video(key: str, options: StoreOptions) -> bool:
    """Whether an object of this key is read as a video, if it is read at all."""
    suffix = _suffix_of(key)
    if options.animations and suffix in ANIMATION_SUFFIXES:
        return can_read_videos()
    return options.videos and suffix in VIDEO_SUFFIXES


@cache
def can_read_videos() -> bool:
    """Whether what it takes to read videos is installed."""
    return all(find_spec(name) is not None for name in ("av", "scipy"))


def may_be_listed(key: str, options: StoreOptions) -> bool:
    """Whether an object of this key is read, unless it is empty."""
    return reason_to_skip(key, 1, options) is None


def _suffix_of(key: str) -> str:
    return os.path.splitext(key.rpartition("/")[2])[1].lower()


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
