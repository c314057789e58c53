"""Few bits in samples of many come out as bright as they were meant."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.image_files import encoded, photo, png_file

from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode
from workers.images.depths import compute_white

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.png", version="v", size_bytes=1)
RGB = np.asarray(photo(3))


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


def deep(bits: int) -> np.ndarray:
    """uint16 (height, width, 3) with values of so many bits; the brightest is the greatest."""
    values = np.rint(RGB / 255 * (2**bits - 1)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return values


def expect(found: np.ndarray, channels: int = 3) -> None:
    expected = RGB if channels == 3 else RGB[..., :1].repeat(3, axis=2)
    difference = np.abs(found.astype(int) - expected)
    difference[0, 0] = 0
    assert difference.max() <= 1


def png(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow writes of grey only."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return png_file((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))


def tiff(values: np.ndarray, **how: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **how)
    return out.getvalue()


@pytest.mark.parametrize(
    ("maximum", "white"),
    [
        (0, 255), (1, 255), (255, 255), (256, 511), (1023, 1023), (2047, 2047), (4000, 4095),
        (4095, 4095), (16383, 16383), (16384, 65535), (40_000, 65535), (65535, 65535),
    ],
)  # fmt: skip
def test_white_is_the_greatest_number_of_as_many_bits(maximum: int, white: int) -> None:
    assert compute_white(maximum) == white


@pytest.mark.parametrize("bits", [10, 11, 12, 14, 16])
@pytest.mark.parametrize("channels", ["grey", "grey and alpha", "rgb", "rgba"])
def test_png_of_fewer_bits(bits: int, channels: str) -> None:
    colour = {"grey": 0, "grey and alpha": 4, "rgb": 2, "rgba": 6}[channels]
    count = 1 if "grey" in channels else 3
    values = deep(bits)[..., :count]
    if colour in (4, 6):
        alpha = np.full_like(values[..., :1], 65535 if bits == 14 else 2**bits - 1)
        values = np.concatenate([values, alpha], axis=2)
    expect(pixels(png(values, colour)), count)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("bits", [12, 16])
def test_tiff_of_fewer_bits(order: str, compression: str | None, planes: str, bits: int) -> None:
    values = deep(bits)
    if planes == "separate":
        values = np.ascontiguousarray(values.transpose(2, 0, 1))
    data = tiff(
        values, photometric="rgb", planarconfig=planes, byteorder=order, compression=compression
    )
    expect(pixels(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "f4"])
def test_grey_tiff_of_12_bits(order: str, kind: str) -> None:
    data = tiff(deep(12)[..., 0].astype(kind), photometric="minisblack", byteorder=order)
    expect(pixels(data), 1)


def test_full_range_is_as_pillow_has_it() -> None:
    data = tiff(deep(16), photometric="rgb")
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data))))
    grey = Image.fromarray(deep(16)[..., 0])
    expected = np.rint(deep(16)[..., 0] / 65535 * 255)
    assert np.array_equal(pixels(encoded(grey, "PNG"))[..., 1], expected)


def test_an_image_that_is_all_black_stays_black() -> None:
    assert pixels(png(np.zeros((5, 7, 3), np.uint16), 2)).max() == 0
    assert pixels(tiff(np.zeros((3, 20, 30), np.uint16), photometric="rgb")).max() == 0
