"""Every way an image can be stored gives upright RGB; every way it can be broken is refused."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, features
from support.image_files import BAD, GOOD, encoded, png_file

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import allowed_formats, decode

REF = ImageRef(store="s3", bucket="b", key="photo.jpg", version="v", size_bytes=1)
OPTIONS = DecodeOptions()

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
ALL_FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", pytest.param("AVIF", marks=needs_avif)]


def pixels(data: bytes, options: DecodeOptions = OPTIONS) -> np.ndarray:
    return decode(data, REF, options).pixels


def photo(height: int = 24, width: int = 40) -> np.ndarray:
    """Smooth, different in every corner, so that lossy formats keep it."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // (width - 1), y * 255 // (height - 1), 255 - x * 255 // (width - 1)]
    return np.stack(channels, axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", ALL_FORMATS)
def test_every_format_gives_contiguous_rgb(kind: str) -> None:
    how = {} if kind in ("PNG", "BMP", "GIF", "TIFF") else {"quality": 95}
    found = decode(encoded(Image.fromarray(photo()), kind, **how), REF, OPTIONS)
    assert found.ref == REF
    assert found.size_hw == (24, 40)
    assert found.pixels.dtype == np.uint8
    assert found.pixels.flags.c_contiguous
    assert found.pixels.flags.writeable
    difference = np.abs(found.pixels.astype(int) - photo())
    assert difference.mean() < (6 if kind == "GIF" else 3)
    if kind in ("PNG", "BMP", "TIFF"):
        assert difference.max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = photo()
    # What a camera stores, from the definition of the tag: the inverse of what a viewer does.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    how: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {}
    how |= {"lossless": True} if kind == "WEBP" else {}
    found = pixels(encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **how))
    assert found.shape == upright.shape
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - upright).max() <= (12 if kind == "JPEG" else 0)


def test_broken_exif_does_not_reject_good_pixels() -> None:
    data = encoded(Image.fromarray(photo()), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(pixels(data), photo())


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    how = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **how)
    assert np.array_equal(pixels(data), np.full((8, 8, 3), (255, 0, 0)))


def test_multi_picture_jpeg_gives_its_first() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    assert pixels(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])).min() == 255


def test_cmyk() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = np.full((8, 8, 3), (255, 0, 0))
    assert np.array_equal(pixels(encoded(ink, "TIFF")), red)
    assert np.abs(pixels(encoded(ink, "JPEG", quality=100)).astype(int) - red).max() <= 4


def test_16_bit_grey_is_rescaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    grey = np.array([[0, 1, 128, 255]], dtype=np.uint8)[..., None].repeat(3, axis=2)
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    assert np.array_equal(pixels(encoded(image, "PNG")), grey)
    assert np.array_equal(pixels(encoded(image, "TIFF")), grey)
    assert np.array_equal(pixels(encoded(image, "TIFF", tiffinfo={262: 0})), 255 - grey)
    big_endian = Image.fromarray(values.astype(">u2"))
    assert np.array_equal(pixels(encoded(big_endian, "TIFF")), grey)


def png(
    depth: int, colour: int, width: int, row: bytes, *chunks: tuple[bytes, bytes], height: int = 1
) -> bytes:
    """A PNG with one row of data, made by hand: what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = (b"IDAT", zlib.compress(b"\0" + row))
    return png_file((b"IHDR", header), *chunks, data, (b"IEND", b""))


def test_16_bit_colour_and_its_transparency() -> None:
    row = struct.pack(">6H", 65535, 0, 32896, 0, 65535, 0)
    assert pixels(png(16, 2, 2, row)).tolist() == [[[255, 0, 128], [0, 255, 0]]]
    row = struct.pack(">4H", 0, 65535, 0, 0)
    assert pixels(png(16, 4, 2, row)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_grey_marked_as_transparent_shows_the_background() -> None:
    row = struct.pack(">3H", 0, 1000, 65535)
    data = png(16, 0, 3, row, (b"tRNS", struct.pack(">H", 1000)))
    options = DecodeOptions(alpha_background=(10, 20, 30))
    assert pixels(data, options).tolist() == [[[0, 0, 0], [10, 20, 30], [255, 255, 255]]]


def test_12_bit_tiff_is_not_dark() -> None:
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    ifd = struct.pack("<H", len(tags)) + entries + bytes(4)
    data = b"II*\0" + struct.pack("<I", 12) + packed + b"\0" + ifd
    assert pixels(data)[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([0.0, 32896.0, 65535.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([float("nan"), 0.0, 1.0], [0, 0, 255]),
        ([float("-inf"), float("inf"), 3.0], [0, 0, 0]),
        ([float("nan")] * 3, [0, 0, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_float_images(values: list[float], grey: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert pixels(encoded(image, "TIFF"))[0, :, 1].tolist() == grey


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        ([0, 128, 255], [0, 128, 255]),
        ([0, 32896, 65535], [0, 128, 255]),
        ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        ([70_000, 70_001, 70_002], [0, 128, 255]),
    ],
)
def test_integer_images(values: list[int], grey: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.int32))
    assert pixels(encoded(image, "TIFF"))[0, :, 1].tolist() == grey


def test_alpha_is_composited_over_the_background() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (200, 100, 0, 128)])
    half = [round((200 * 128 + 255 * 127) / 255), round((100 * 128 + 255 * 127) / 255), 127]
    found = pixels(encoded(image, "PNG"))[0].tolist()
    assert found[:2] == [[255, 0, 0], [255, 255, 255]]
    assert np.abs(np.array(found[2]) - half).max() <= 1
    black = pixels(encoded(image, "PNG"), DecodeOptions(alpha_background=(0, 0, 0)))
    assert black[0, :2].tolist() == [[255, 0, 0], [0, 0, 0]]


def test_grey_alpha_palette_and_one_bit() -> None:
    grey_alpha = Image.new("LA", (2, 1))
    grey_alpha.putdata([(100, 255), (100, 0)])
    assert pixels(encoded(grey_alpha, "PNG")).tolist() == [[[100] * 3, [255] * 3]]

    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    assert pixels(encoded(palette, "PNG")).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    with_key = pixels(encoded(palette, "GIF", transparency=1))
    assert with_key.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    with_alphas = encoded(palette, "PNG", transparency=bytes([255, 0, 255]))
    assert pixels(with_alphas).tolist() == with_key.tolist()

    bits = Image.new("1", (2, 1))
    bits.putdata([1, 0])
    assert pixels(encoded(bits, "PNG")).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("kind", ALL_FORMATS)
def test_truncated_files_are_rejected(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for length in (0, 1, 10, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(BadImageError, match=r"s3://b/photo\.jpg"):
            pixels(data[:length])


def test_other_files_are_refused_in_one_sentence() -> None:
    with pytest.raises(BadImageError) as caught:
        pixels(b"<html><body>not found</body></html>")
    assert str(caught.value) == (
        f"expected an image ({', '.join(allowed_formats())}), got 35 bytes that begin with "
        "b'<html><b' (s3://b/photo.jpg)"
    )


@pytest.mark.parametrize("kind", GOOD)
def test_odd_files_that_are_images_are_decoded(kind: str) -> None:
    assert pixels(GOOD[kind](3)).shape[2] == 3


@pytest.mark.parametrize("kind", BAD)
def test_files_that_are_no_image_are_refused_in_one_sentence(kind: str) -> None:
    with pytest.raises(BadImageError, match=r"^expected [^\n]+, got[^\n]+\(s3://b/photo\.jpg\)$"):
        pixels(BAD[kind](3))


def test_a_chunk_of_a_png_that_does_not_match_its_checksum_is_named() -> None:
    with pytest.raises(BadImageError) as caught:
        pixels(BAD["png of a bad crc"](3))
    assert str(caught.value) == (
        "expected a whole image, got a chunk IDAT that does not match its checksum "
        "(s3://b/photo.jpg)"
    )


def test_not_enough_memory_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", none_left)
    with pytest.raises(MemoryError):
        pixels(GOOD["bmp"](3))


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "PDF", "EPS"])
def test_formats_off_the_list_are_refused(kind: str) -> None:
    with pytest.raises(BadImageError, match="expected an image"):
        pixels(encoded(Image.fromarray(photo()), kind))


def test_limits_hold_before_pixels_are_decoded() -> None:
    image = encoded(Image.new("RGB", (30, 20)), "PNG")
    assert pixels(image, DecodeOptions(max_pixels=600, max_side_px=30, min_side_px=20)).any() == 0
    with pytest.raises(BadImageError, match="at most 599 pixels, got 30 x 20"):
        pixels(image, DecodeOptions(max_pixels=599))
    with pytest.raises(BadImageError, match="sides of at most 29 pixels, got 30 x 20"):
        pixels(image, DecodeOptions(max_side_px=29))
    with pytest.raises(BadImageError, match="sides of at least 21 pixels, got 30 x 20"):
        pixels(image, DecodeOptions(min_side_px=21))
    # The header alone: there are no pixels to decode.
    with pytest.raises(BadImageError, match="at most 120000000 pixels, got 12000 x 12000"):
        pixels(png(8, 2, 12_000, b"", height=12_000))
    with pytest.raises(BadImageError, match="at most 120000000 pixels, got more than 240000000"):
        pixels(png(8, 2, 30_000, b"", height=30_000))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_decompression_bombs_are_refused_by_our_limit(kind: str) -> None:
    data = encoded(Image.new("L", (300, 300)).convert("RGB"), kind)
    with pytest.raises(BadImageError, match="at most 100 pixels, got more than 200"):
        pixels(data, DecodeOptions(max_pixels=100))


def test_pillow_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 77)
    before = list(warnings.filters)
    assert pixels(encoded(Image.fromarray(photo()), "PNG")).shape == (24, 40, 3)
    with pytest.raises(BadImageError):
        pixels(b"nothing")
    assert Image.MAX_IMAGE_PIXELS == 77
    assert warnings.filters == before


SEEDS = [
    encoded(Image.fromarray(photo(12, 16)), kind)
    for kind in allowed_formats()
    if kind != "HEIF" and (kind != "AVIF" or features.check("avif"))
] + [
    encoded(Image.fromarray(photo(12, 16)).convert("P"), "PNG", transparency=3),
    encoded(Image.fromarray(photo(12, 16)), "TIFF", compression="tiff_lzw"),
    encoded(Image.new("CMYK", (16, 12)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
]


def decodes_or_is_rejected(data: bytes) -> None:
    with contextlib.suppress(BadImageError):
        found = pixels(data, DecodeOptions(max_pixels=100_000))
        assert found.dtype == np.uint8
        assert found.shape[2] == 3


@given(st.binary(max_size=200), st.sampled_from([b"", *(seed[:12] for seed in SEEDS)]))
@settings(max_examples=100)
def test_random_bytes(data: bytes, magic: bytes) -> None:
    decodes_or_is_rejected(magic + data)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=20),
    st.integers(0, 10_000),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_images(seed: bytes, flips: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(seed)
    for position, bits in flips:
        damaged[position % len(damaged)] ^= bits
    decodes_or_is_rejected(bytes(damaged[: len(damaged) - cut % 20]))
