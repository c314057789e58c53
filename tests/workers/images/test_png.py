"""A PNG is read whatever its texts and other ancillary chunks are; its pixels have to be sound."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.icc_profiles import SRGB_COLORANTS, rgb_profile
from support.image_files import encoded, photo

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode
from workers.images.png import MAX_INFLATED_BYTES, keep_needed_chunks

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.png", version="v", size_bytes=1)
PLAIN = encoded(photo(4), "PNG")
RGB = np.asarray(photo(4))
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


def chunk(name: bytes, body: bytes, checksum_off_by: int = 0) -> bytes:
    checksum = zlib.crc32(name + body) ^ checksum_off_by
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def with_chunk(added: bytes, data: bytes = PLAIN, before: bytes = b"IDAT") -> bytes:
    place = data.index(before) - 4
    return data[:place] + added + data[place:]


def zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def long_xmp(size: int) -> bytes:
    return zlib.compress(XMP + b" " * size, 9)


ODD = {
    "a long text": chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000),
    "a text that inflates to 3 MB": chunk(b"zTXt", b"Comment\0\0" + zeros(3_000_000)),
    "a text that inflates to 1 GB": chunk(b"zTXt", b"Comment\0\0" + zeros(2**20) * 1000),
    "XMP that inflates too far": chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros(MAX_INFLATED_BYTES + 1)
    ),
    "a text by an unknown method": chunk(b"zTXt", b"Comment\0\7abc"),
    "a profile by an unknown method": chunk(b"iCCP", b"name\0\7abc"),
    "a profile that is none": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile")),
    "a profile that does not inflate": chunk(b"iCCP", b"name\0\0abc"),
    "a profile that inflates too far": chunk(b"iCCP", b"n\0\0" + zeros(MAX_INFLATED_BYTES + 1)),
    "an empty profile": chunk(b"iCCP", b""),
    "a text of a wrong checksum": chunk(b"tEXt", b"Comment\0x", 1),
    "a time of a wrong checksum": chunk(b"tIME", bytes(7), 1),
    "an unknown chunk of a wrong checksum": chunk(b"prVt", b"abc", 1),
    "a profile of a wrong checksum": chunk(
        b"iCCP", b"n\0\0" + zlib.compress(rgb_profile(SRGB_COLORANTS[::-1], 2.2)), 1
    ),
    "a transparency of a wrong checksum": chunk(b"tRNS", bytes(6), 1),
    "a short transparency": chunk(b"tRNS", b"\0"),
    "short chunks": b"".join(
        chunk(name, b"\0") for name in (b"gAMA", b"cHRM", b"pHYs", b"acTL", b"fcTL", b"sBIT")
    )
    + chunk(b"sRGB", b""),
    "a broken EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind", ODD)
def test_ancillary_chunks_do_not_matter(kind: str, where: bytes) -> None:
    assert np.array_equal(pixels(with_chunk(ODD[kind], before=where)), RGB)


@pytest.mark.parametrize("size", [0, 1_200_000, 12_000_000])
@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
def test_an_orientation_in_a_long_text_turns(size: int, where: bytes) -> None:
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + long_xmp(size))
    assert np.array_equal(pixels(with_chunk(xmp, before=where)), np.rot90(RGB, -1))
    plain = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP + b" " * size)
    assert np.array_equal(pixels(with_chunk(plain, before=where)), np.rot90(RGB, -1))


def test_a_profile_of_more_than_a_megabyte_is_used() -> None:
    profile = rgb_profile(SRGB_COLORANTS[::-1], 2.2)
    large = profile + bytes(2_000_000)
    large = struct.pack(">I", len(large)) + large[4:]
    found = pixels(with_chunk(chunk(b"iCCP", b"large\0\0" + zlib.compress(large))))
    small = pixels(with_chunk(chunk(b"iCCP", b"small\0\0" + zlib.compress(profile))))
    assert np.array_equal(found, small)
    assert np.abs(found.astype(int) - RGB).mean() > 20


def test_a_wrong_checksum_of_what_pixels_need_is_refused() -> None:
    for name, expected in (
        (b"IHDR", "got a PNG with a broken header: its chunk IHDR does not match its checksum"),
        (b"IDAT", "got a chunk IDAT that does not match its checksum"),
    ):
        data = bytearray(PLAIN)
        place = data.index(name)
        length = int.from_bytes(data[place - 4 : place])
        data[place + 4 + length] ^= 1
        with pytest.raises(BadImageError, match=expected):
            pixels(bytes(data))


def test_nothing_is_copied_that_has_nothing_to_leave_out() -> None:
    assert keep_needed_chunks(PLAIN) is PLAIN
    profiled = with_chunk(chunk(b"iCCP", b"n\0\0" + zlib.compress(b"profile")))
    assert keep_needed_chunks(profiled) is profiled


def test_what_is_left_out_leaves_the_rest_as_it_is() -> None:
    data = with_chunk(ODD["a long text"]) + b"behind the end"
    assert keep_needed_chunks(with_chunk(ODD["a time of a wrong checksum"], data)) == (
        PLAIN + b"behind the end"
    )
    cut = with_chunk(ODD["a long text"])[:-60]
    assert keep_needed_chunks(cut) == PLAIN[:-60]


def test_the_first_frame_of_an_animation_is_as_before() -> None:
    frames = [photo(4), photo(5), photo(6)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert np.array_equal(pixels(data), RGB)
    behind = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert np.array_equal(pixels(behind), RGB)


def test_pillow_is_left_as_it_was() -> None:
    before = PngImagePlugin.MAX_TEXT_CHUNK
    assert Image.MAX_IMAGE_PIXELS is not None
    pixels(PLAIN)
    assert before == PngImagePlugin.MAX_TEXT_CHUNK
