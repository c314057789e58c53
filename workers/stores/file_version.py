"""Names the version of a file: by its content, and before it is read by the stamp of its state."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from schemas.images import ImageRef

_DIGEST_BYTES = 16
_BY_CONTENT = "-blake2b:"
_INODE = "@"


def stamp_of(status: os.stat_result) -> str:
    """`size-mtime_ns@inode`: as long as it is the same, so is the content.

    The inode tells files apart that have been exchanged: those of a data set often have one size
    and one time.
    """
    return f"{_size_and_time(status)}{_INODE}{status.st_ino}"


def content_version(data: bytes) -> str:
    """`size-blake2b:` and 32 hex digits over the content (BLAKE2b, RFC 7693)."""
    digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    return f"{len(data)}{_BY_CONTENT}{digest}"


def is_stamp(version: str) -> bool:
    """Whether a version is a stamp: that of a file which has been listed, and not read yet."""
    return _INODE in version


def is_by_content(version: str) -> bool:
    """Whether a version is one by content."""
    return _BY_CONTENT in version


def older_version(stamp: str) -> str:
    """The version by size and time, `size-mtime_ns`, that older indexes have of such a file."""
    return stamp.partition(_INODE)[0]


def size_of(version: str) -> int:
    """The size in bytes that any version of a file begins with; 0 for another text."""
    size = version.partition("-")[0]
    return int(size) if size.isdecimal() else 0


def identify(ref: ImageRef, data: bytes) -> ImageRef:
    """The image of which `data` has just been read, in its version by content.

    Only a listed file changes: a version that an index holds already stays what it is.
    """
    if ref.store != "file" or not is_stamp(ref.version):
        return ref
    return replace(ref, version=content_version(data), stamp=ref.version)


def _size_and_time(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
