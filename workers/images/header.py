"""Reads how large an image is from the header of its file."""

from __future__ import annotations

import warnings

from PIL import Image

from workers.images.orientation import parse_orientation, read_stored_orientation

# Those whose header says it all; others have parts that are not to be shown.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_ON_ITS_SIDE = (5, 6, 7, 8)


def read_size(path: str) -> tuple[int, int] | None:
    """Height and width of the image as it is shown; None where its header does not tell them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                # Of a PNG, all pixels would be read to look behind them.
                if image.format != "PNG" or "exif" in image.info:
                    stored = parse_orientation(read_stored_orientation(image))
                    if stored in _ON_ITS_SIDE:
                        width, height = height, width
    # Pillow's plugins raise nearly every built-in exception on hostile bytes.
    except Exception:
        return None
    return (height, width) if height > 0 and width > 0 else None
