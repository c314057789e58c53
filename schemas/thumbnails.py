"""Thumbnails of objects, as they are kept beside their points."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

THUMBNAIL = "thumbnail"
"""The payload field with the bytes, which is read only where pictures are wanted."""
_CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A part of an image as a WebP file; `box_xyxy` is that part in pixels of the image."""

    box_xyxy: tuple[int, int, int, int]
    webp: bytes

    def to_text(self) -> str:
        """The bytes in base64, as JSON can hold them."""
        return to_text(self.webp)


def to_text(webp: bytes) -> str:
    """The bytes in base64."""
    return base64.b64encode(webp).decode("ascii")


def parse_webp(text: str) -> bytes:
    """The bytes of such a text. Raises ValueError for any other text."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"expected base64, got {exc}") from exc


def thumbnail_check(point_id: str, text: str) -> str:
    """16 hex digits over the thumbnail and whose it is: that of another point does not fit."""
    return hashlib.blake2b(f"{point_id} {text}".encode(), digest_size=_CHECK_BYTES).hexdigest()
