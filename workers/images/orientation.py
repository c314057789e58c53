"""Finds how a stored image has to be turned, whatever type its orientation is stored in."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, SupportsFloat

from PIL import ExifTags, Image

# Not ImageOps.exif_transpose: it copies images that are upright, rewrites the rest of the EXIF,
# which fails where that is broken, and knows integers only.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_stored_orientation(image: Image.Image) -> Any:
    """The orientation as it is stored: an integer where the file keeps to EXIF; None if none."""
    # Broken metadata are no reason to reject good pixels.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


def parse_orientation(stored: Any) -> int:
    """EXIF's 1 to 8 of a value of any type of TIFF (BYTE, ASCII, UNDEFINED, RATIONAL); else 1."""
    number = _parse_number(stored)
    return number if number in UPRIGHT else 1


def is_turned_by_pillow(stored: Any) -> bool:
    """Whether Pillow turns a TIFF of this orientation while it loads it: any number, no bytes."""
    try:
        return stored in UPRIGHT
    except TypeError:
        return False


def _parse_number(stored: Any) -> int | None:
    if isinstance(stored, (tuple, list)):
        return _parse_number(stored[0]) if stored else None
    if isinstance(stored, str):
        stored = stored.encode("latin-1", "replace")
    if isinstance(stored, bytes):
        # A digit, or a number of one or more bytes in either order.
        significant = stored.strip(b"\0 ")
        if len(significant) != 1:
            return None
        return int(significant) if significant.isdigit() else significant[0]
    if isinstance(stored, (int, SupportsFloat)):
        try:
            number = Fraction(float(stored))
        except (ValueError, OverflowError, ZeroDivisionError):
            return None
        return number.numerator if number.denominator == 1 else None
    return None
