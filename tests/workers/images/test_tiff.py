"""TIFFs as other programs write them: planes, palettes, orientations of any type."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from support.image_files import photo
from support.image_files import tiff as raw_tiff

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.tif", version="v", size_bytes=1)
RGB = np.asarray(photo(3))
ALPHA = np.full((48, 64, 1), 255, np.uint8)


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


def tiff(values: np.ndarray, **how: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, np.ascontiguousarray(values), **how)
    return out.getvalue()


def planes(channels: np.ndarray = RGB, **how: object) -> bytes:
    values = channels.astype(np.uint16) * 257
    how = {"photometric": "rgb", "planarconfig": "separate"} | how
    return tiff(values.transpose(2, 0, 1), **how)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 7},
        {"tile": (16, 32)},
        {"tile": (16, 32), "byteorder": ">", "compression": "zlib"},
        {"compression": "lzma"},
        {"compression": "zlib", "predictor": True},
    ],
    ids=str,
)
def test_planes_of_16_bits(how: dict[str, object]) -> None:
    assert np.array_equal(pixels(planes(**how)), RGB)


def test_planes_of_16_bits_with_alpha() -> None:
    half = ALPHA.copy()
    half[:, 32:] = 0
    found = pixels(planes(np.concatenate([RGB, half], axis=2), extrasamples=["unassalpha"]))
    assert np.array_equal(found[:, :32], RGB[:, :32])
    assert (found[:, 32:] == 255).all()
    premultiplied = np.concatenate([RGB * (half > 0), half], axis=2)
    found = pixels(planes(premultiplied, extrasamples=["assocalpha"]))
    assert np.array_equal(found[:, :32], RGB[:, :32])
    assert (found[:, 32:] == 255).all()


@pytest.mark.parametrize("deep", [False, True])
def test_planes_that_are_no_colours_are_left_out(deep: bool) -> None:
    channels = np.concatenate([RGB, ALPHA // 3], axis=2)
    values = channels.astype(np.uint16) * 257 if deep else channels
    data = tiff(
        values.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        extrasamples=["unspecified"],
    )
    assert np.array_equal(pixels(data), RGB)


def test_planes_of_broken_lengths_are_refused() -> None:
    data = bytearray(planes())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["StripByteCounts"]
    data[tag.offset + 4 : tag.offset + 8] = struct.pack("<I", 1)
    with pytest.raises(BadImageError, match="expected strips or tiles of 3 planes, got 3 with 1"):
        pixels(bytes(data))


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_one_channel_mean_nothing(white_is_zero: bool, bits: int, order: str) -> None:
    grey = RGB[:9, :13, 1]
    values = grey.astype(f"{order}u{bits // 8}") * (257 if bits == 16 else 1)
    short, long = 3, 4
    tags = [
        (256, long, 1, 13), (257, long, 1, 9), (258, short, 1, bits), (259, short, 1, 1),
        (262, short, 1, int(not white_is_zero)), (273, long, 1, 134), (277, short, 1, 1),
        (278, long, 1, 9), (279, long, 1, values.nbytes), (284, short, 1, 2),
    ]  # fmt: skip
    data = raw_tiff(tags, order=order) + values.astype(f"{order}u{bits // 8}").tobytes()
    if white_is_zero and bits == 16 and order == ">":
        with pytest.raises(BadImageError, match="unknown pixel mode"):
            pixels(data)
        return
    expected = 255 - grey if white_is_zero else grey
    assert np.array_equal(pixels(data)[..., 0], expected)


@pytest.mark.parametrize("depth", ["u1", "u2"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_of_two_grey_planes_the_first_counts(depth: str, compression: str | None) -> None:
    values = RGB[..., :2].astype(depth) * (257 if depth == "u2" else 1)
    data = tiff(
        values.transpose(2, 0, 1),
        photometric="minisblack",
        planarconfig="separate",
        extrasamples=["unspecified"],
        compression=compression,
        rowsperstrip=20,
    )
    assert np.array_equal(pixels(data), RGB[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_of_8_and_of_16_bits(scale: int) -> None:
    indices = (np.indices((20, 30))[1] % 4).astype(np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :4] = np.array([[200, 0, 10], [30, 180, 40], [0, 60, 250], [255, 255, 0]]).T
    data = tiff(indices, photometric="palette", colormap=colours * scale)
    assert np.array_equal(pixels(data), colours.T[indices])


ORIENTATIONS = {
    "SHORT": (3, 1, struct.pack("<HH", 6, 0)),
    "LONG": (4, 1, struct.pack("<I", 6)),
    "BYTE": (1, 1, b"\6\0\0\0"),
    "BYTE of two": (1, 2, b"\6\0\0\0"),
    "ASCII digit": (2, 2, b"6\0\0\0"),
    "ASCII number": (2, 2, b"\6\0\0\0"),
    "UNDEFINED": (7, 1, b"\6\0\0\0"),
    "UNDEFINED of two": (7, 2, b"\0\6\0\0"),
    "UNDEFINED of four": (7, 4, b"\6\0\0\0"),
    "SBYTE": (6, 1, b"\6\0\0\0"),
    "SSHORT": (8, 1, struct.pack("<hh", 6, 0)),
    "FLOAT": (11, 1, struct.pack("<f", 6)),
}


@pytest.mark.parametrize("kind", ORIENTATIONS)
@pytest.mark.parametrize("layout", ["8 bits", "planes of 16"])
def test_an_orientation_of_any_type_turns(kind: str, layout: str) -> None:
    how = {"extratags": [(274, 3, 1, 6, True)]}
    data = bytearray(planes(**how) if layout != "8 bits" else tiff(RGB, photometric="rgb", **how))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[0].tags[274].offset
    type_number, count, value = ORIENTATIONS[kind]
    data[place + 2 : place + 12] = struct.pack("<HI", type_number, count) + value
    assert np.array_equal(pixels(bytes(data)), np.rot90(RGB, -1))
