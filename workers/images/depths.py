"""Turns 12, 16 and 32 bits and floats a channel into 8, by what white is in the file.

White is what the file's own number of bits says. Many files hold fewer bits than their samples have
room for (cameras and microscopes: 12 in 16), and would come out nearly black: where the greatest
value of whole numbers needs fewer than 15 bits, white is the greatest of as many bits, and of 8 at
least.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_ROWS = 64  # processed at a time
_FULL_BITS = 16
_FEWER_BITS = 14  # at most
_COLOURS = {"RGBA": 3}  # channels besides alpha; of other modes all
# Pillow makes an image of the high byte of each sample; by the other byte order, of the low one.
_LITTLE, _BIG = (";16L", ";16B")
_OTHER_ORDER = {
    _LITTLE: _BIG,
    _BIG: _LITTLE,
    ";16N": _BIG if sys.byteorder == "little" else _LITTLE,
}
_COLOUR_LAYOUTS = ("RGB", "RGBX", "RGBA", "CMYK")
_Rows = npt.NDArray[Any]
ReadRows = Callable[[int, int], npt.NDArray[np.uint16]]
"""From the first of some rows to behind the last: uint16 (rows, width, channels)."""


def compute_white(maximum: float) -> float:
    """The value of white among whole numbers from 0 up to `maximum`; more than 16 bits: 65535."""
    bits = max(8, int(maximum).bit_length())
    return float(2 ** (bits if bits <= _FEWER_BITS else _FULL_BITS) - 1)


def grey_to_8_bits(image: Image.Image) -> Image.Image:
    """One deep channel, rescaled: L, or LA where a grey value is marked as transparent."""
    values = np.asarray(image)
    white = _find_white(image, values)
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


def find_low_byte_layout(image: Image.Image) -> str | None:
    """How the low bytes of colours of 16 bits are read; None of other images. Before loading."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else None
    layout = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    if not isinstance(layout, str):
        return None
    if layout == "LA;16B":
        return "RGBA"  # all bytes as they come: grey, its low byte, alpha, its low byte
    name, order = layout[:-4], layout[-4:]
    if name not in _COLOUR_LAYOUTS or order not in _OTHER_ORDER:
        return None
    return name + _OTHER_ORDER[order]


def is_of_few_bits(image: Image.Image) -> bool:
    """Whether the high bytes of colours leave room: no sample needs more than 14 of 16 bits."""
    colours = np.array(image.getextrema())[: _COLOURS.get(image.mode, 4)]
    return bool(colours.max() < 2 ** (_FEWER_BITS - 8))


def read_low_bytes(image: ImageFile.ImageFile, layout: str) -> None:
    """Load an image of colours of 16 bits by a layout that makes pixels of the low bytes."""
    # What stands behind the layout, the length of a row or libtiff's options, stays.
    image.tile = [
        tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)
        for tile in image.tile
    ]
    image.load()


def join_bytes(high: Image.Image, low: Image.Image, layout: str) -> Image.Image:
    """8 bits of the colours of which two images have the high and the low bytes."""
    channels = [1, 1, 1, 3] if layout == "RGBA" else slice(None)

    def read_rows(top: int, bottom: int) -> npt.NDArray[np.uint16]:
        box = (0, top, high.width, bottom)
        lows = np.asarray(low.crop(box))[..., channels]
        values: npt.NDArray[np.uint16] = np.asarray(high.crop(box)).astype(np.uint16) * 256 + lows
        return values

    return colours_to_8_bits(read_rows, high.size, high.mode)


def colours_to_8_bits(read_rows: ReadRows, size_wh: tuple[int, int], mode: str) -> Image.Image:
    """An image of `mode`: colours rescaled by the white of all of them, alpha by its own."""
    width, height = size_wh
    tops = range(0, height, _ROWS)
    colours = slice(0, _COLOURS.get(mode, 4))
    alpha = slice(_COLOURS.get(mode, 4), None)
    whites = [
        (
            channels,
            compute_white(
                max(
                    read_rows(top, min(top + _ROWS, height))[..., channels].max(initial=0)
                    for top in tops
                )
            ),
        )
        for channels in (colours, alpha)
    ]
    image = Image.new(mode, size_wh)
    for top in tops:
        bottom = min(top + _ROWS, height)
        rows = read_rows(top, bottom)
        scaled = np.empty(rows.shape, np.uint8)
        for channels, white in whites:
            part = rows[..., channels]
            # As Pillow does it.
            is_full = white == 2**_FULL_BITS - 1
            scaled[..., channels] = part >> 8 if is_full else _to_bytes(part / np.float32(white))
        strip = Image.frombytes(mode, (width, bottom - top), scaled.tobytes())
        image.paste(strip, (0, top, width, bottom))
    return image


def _find_white(image: Image.Image, values: npt.NDArray[Any]) -> float | None:
    """The value of white where the file says it or convention does; None to stretch instead."""
    if image.mode.startswith("I;16"):
        bits = image.tag_v2.get(BITSPERSAMPLE) if isinstance(image, TiffImageFile) else None
        if bits and bits[0] < _FULL_BITS:
            return float(2 ** bits[0] - 1)
        return compute_white(values.max())
    low, high = float(values.min()), float(values.max())
    # Comparisons with NaN are false: such images are stretched, as are those with infinities.
    if not (low >= 0 and high < 2**_FULL_BITS):
        return None
    return 1.0 if image.mode == "F" and high <= 1 else compute_white(high)


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
