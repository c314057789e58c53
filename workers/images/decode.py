"""Decodes bytes to pixels with Pillow: a closed list of formats, limits checked on the header."""

from __future__ import annotations

import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from schemas.errors import BadImageError, one_line
from schemas.images import DecodedImage, ImageRef, UInt8Image
from schemas.options import DecodeOptions

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
# Not ImageOps.exif_transpose: it copies images that are upright, rewrites the rest of the EXIF,
# which fails where that is broken, and takes orientations that are no integers.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_ROWS = 64  # processed at a time
_Rows = npt.NDArray[Any]
_decoding = threading.Lock()


def decode(data: bytes, ref: ImageRef, options: DecodeOptions) -> DecodedImage:
    """The first frame of an image file, upright, as C-contiguous uint8 (height, width, 3) RGB.

    The suffix of the key does not matter. Raises BadImageError for whatever is wrong with the
    bytes, and MemoryError where there is not enough. A process decodes one image at a time: for
    more, use more processes.
    """
    try:
        with _limit_pillow(options.max_pixels):
            pixels = _decode_pixels(data, options)
    except BadImageError as exc:
        raise BadImageError(f"{exc} ({ref.uri})") from exc.__cause__
    except MemoryError:  # the bytes need not be the cause
        raise
    # Pillow's plugins raise nearly every built-in exception on hostile bytes.
    except Exception as exc:
        raise BadImageError(f"expected a whole image, got: {one_line(exc)} ({ref.uri})") from exc
    return DecodedImage(ref, pixels)


@cache
def allowed_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are decoded, as far as this Pillow has them."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextmanager
def _limit_pillow(max_pixels: int) -> Iterator[None]:
    """Set Pillow's pixel limit to ours and silence its warnings; both are restored afterwards."""
    # Both are global to the process, hence the lock. Pillow's own limit is needed because some
    # plugins allocate the canvas before the size can be checked; Pillow raises above twice that.
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _decode_pixels(data: bytes, options: DecodeOptions) -> UInt8Image:
    with _open(data, options.max_pixels) as image:
        _check_size(image.size, options)
        if image.format == "PNG":
            _check_pixel_chunks(data)
        image.load()
        # A plugin may find another size than the header's while it loads.
        _check_size(image.size, options)
        method = _UPRIGHT.get(_orientation(image))
        rgb = _to_rgb(image, options.alpha_background)
        return np.array(rgb if method is None else rgb.transpose(method))


def _open(data: bytes, max_pixels: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=allowed_formats())
    except UnidentifiedImageError as exc:
        names = ", ".join(allowed_formats())
        raise BadImageError(
            f"expected an image ({names}), got {len(data)} bytes that begin with {data[:8]!r}"
        ) from exc
    except Image.DecompressionBombError as exc:
        raise BadImageError(
            f"expected at most {max_pixels} pixels, got more than {2 * max_pixels}"
        ) from exc


def _check_size(size_wh: tuple[int, int], options: DecodeOptions) -> None:
    width, height = size_wh
    if width * height > options.max_pixels:
        raise BadImageError(f"expected at most {options.max_pixels} pixels, got {width} x {height}")
    if max(size_wh) > options.max_side_px:
        raise BadImageError(
            f"expected sides of at most {options.max_side_px} pixels, got {width} x {height}"
        )
    if min(size_wh) < options.min_side_px:
        raise BadImageError(
            f"expected sides of at least {options.min_side_px} pixels, got {width} x {height}"
        )


def _check_pixel_chunks(data: bytes) -> None:
    """Check the checksums of a PNG's pixels, as libpng does; Pillow skips them."""
    start = len(_PNG_MAGIC)
    # The decoder reports a truncated file.
    while start + 12 <= len(data):
        length = int.from_bytes(data[start : start + 4])
        end = start + 8 + length
        name = data[start + 4 : start + 8]
        if name == b"IDAT" and end + 4 <= len(data):
            stored = int.from_bytes(data[end : end + 4])
            if zlib.crc32(memoryview(data)[start + 4 : end]) != stored:
                raise BadImageError(
                    "expected a whole image, got a chunk IDAT that does not match its checksum"
                )
        start = end + 4


def _orientation(image: Image.Image) -> int:
    # Broken metadata are no reason to reject good pixels.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode in _DEEP_MODES:
        image = _to_8_bits(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    return _composite(image, background)


def _composite(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """RGB: the image over the background; a few rows at a time, to save memory."""
    width, height = image.size
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, _ROWS):
        box = (0, top, width, min(top + _ROWS, height))
        strip = image.crop(box).convert("RGBA")
        canvas = Image.new("RGBA", strip.size, (*background, 255))
        rgb.paste(Image.alpha_composite(canvas, strip).convert("RGB"), box)
    return rgb


def _to_8_bits(image: Image.Image) -> Image.Image:
    """One deep channel, rescaled: L, or LA where a grey value is marked as transparent."""
    values = np.asarray(image)
    white = _white(image, values)
    low, high = _half_range(values) if white is None else (0.0, 0.0)
    scaled = np.empty(values.shape, np.uint8)
    for strip, result in zip(_strips(values), _strips(scaled), strict=True):
        result[:] = (
            _stretch(strip, low, high) if white is None else _to_bytes(strip / np.float32(white))
        )
    grey = Image.fromarray(255 - scaled if _white_is_zero(image) else scaled)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, np.uint8(0), np.uint8(255))))
    return grey


def _white(image: Image.Image, values: npt.NDArray[Any]) -> float | None:
    """The value of white where the file says it or convention does; None to stretch instead."""
    if image.mode.startswith("I;16"):
        bits = image.tag_v2.get(BITSPERSAMPLE) if isinstance(image, TiffImageFile) else None
        return float(2 ** (bits[0] if bits else 16) - 1)
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    low, high = float(values.min()), float(values.max())
    # Comparisons with NaN are false: such images are stretched, as are those with infinities.
    return next((white for white in usual if low >= 0 and high <= white), None)


def _white_is_zero(image: Image.Image) -> bool:
    # Pillow inverts such files itself, except those of 16 bits.
    if not isinstance(image, TiffImageFile) or not image.mode.startswith("I;16"):
        return False
    return bool(image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0)


def _strips(rows: _Rows) -> list[_Rows]:
    """Views of a few rows each: temporary results for all of a large image would not fit."""
    return [rows[top : top + _ROWS] for top in range(0, len(rows), _ROWS)]


def _half_range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Half of the least and the greatest finite value, 0 and 0 if there are none."""
    # Halved, because the difference of two large numbers may overflow their type.
    low, high = np.inf, -np.inf
    for strip in _strips(values):
        halves = strip / 2
        finite = halves[np.isfinite(halves)]
        low = min(low, finite.min(initial=np.inf))
        high = max(high, finite.max(initial=-np.inf))
    return (low, high) if low <= high else (0.0, 0.0)


def _stretch(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """uint8: the halved range mapped to 0 to 255; NaN becomes 0."""
    halves = np.nan_to_num(values / 2, nan=low, posinf=high, neginf=low)
    return _to_bytes((halves - low) / ((high - low) or 1.0))


def _to_bytes(fractions: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """uint8: 0.0 to 1.0 mapped to 0 to 255, rounded."""
    scaled: npt.NDArray[np.uint8] = np.rint(np.clip(fractions, 0, 1) * 255).astype(np.uint8)
    return scaled
