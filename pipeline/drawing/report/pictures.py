"""Makes pictures small enough that a report holds two dozen of them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from pipeline.drawing.report.contents import Cell, Picture

MOST_PICTURES = 24
"""What a report of at most 3 MB has room for."""
_MOST_SIDE_PX = 648
_QUALITY = 80


def encode_picture(
    image: Image.Image, title: str, alt: str, lines: Sequence[str | Cell] = ()
) -> Picture:
    """An RGB image as a WebP file, its longer side at most 648 pixels."""
    small = image.copy()
    small.thumbnail((_MOST_SIDE_PX, _MOST_SIDE_PX), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "WEBP", quality=_QUALITY)
    return Picture(file.getvalue(), "image/webp", small.size, alt, title, lines)
