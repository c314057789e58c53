"""A refusal says what the file is and what its decoder has against it; HEIC is read."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from support.icc_profiles import SRGB_COLORANTS, rgb_profile
from support.image_files import bmp, encoded, encoded_psd, photo

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images import formats
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo", version="v", size_bytes=1)


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


def refusal(data: bytes) -> str:
    with pytest.raises(BadImageError) as caught:
        pixels(data)
    return str(caught.value).removesuffix(" (s3://b/photo)")


def strange_tiff() -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, np.zeros((3, 5, 4), np.float64), photometric="minisblack")
    return out.getvalue()


def gif_without_a_frame() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0) + b";"


def webp_of_nothing() -> bytes:
    return b"RIFF\x10\0\0\0WEBPVP8 \4\0\0\0abcd"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (strange_tiff(), "got a TIFF that Pillow cannot read: unknown pixel mode"),
        (b"II*\0" + struct.pack("<I", 8) + bytes(2), "got a TIFF that Pillow cannot read: "),
        (b"\xff\xd8\xff\xe0" + bytes(30), "got a JPEG that Pillow cannot read: "),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "got a PNG that Pillow cannot read: "),
        (gif_without_a_frame(), "got a GIF that Pillow cannot read: "),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "got an AVIF that Pillow cannot read: "),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(9), "got a HEIF that Pillow cannot read: "),
    ],
    ids=["tiff", "tiff directory", "jpeg", "png", "gif", "avif", "heif"],
)
def test_a_file_that_is_an_image_is_called_what_it_is(data: bytes, expected: str) -> None:
    reason = refusal(data)
    assert reason.startswith(f"expected a readable image, {expected}")
    assert not reason.endswith(": ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(photo(1), "JPEG")[:700], "a JPEG that Pillow cannot decode: image file is trunc"),
        (encoded(photo(1), "PNG")[:700], "a PNG that Pillow cannot decode: "),
        (encoded(photo(1), "GIF")[:-900], "a GIF that Pillow cannot decode: "),
        (encoded(photo(1), "WEBP")[:500], "a WEBP that Pillow cannot decode: "),
        (webp_of_nothing(), "a WEBP that Pillow cannot decode: could not create decoder object"),
        (bmp(20, 20), "a BMP that Pillow cannot decode: image file is truncated"),
    ],
    ids=["jpeg", "png", "gif", "webp", "webp of nothing", "bmp"],
)
def test_a_file_that_breaks_off_is_called_what_it_is(data: bytes, expected: str) -> None:
    assert refusal(data).startswith(f"expected a whole image, got {expected}")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(photo(1), "JPEG2000"), "a JPEG 2000"),
        (encoded(photo(1), "ICO"), "a Windows icon"),
        (encoded(photo(1), "DDS"), "a DDS"),
        (encoded(photo(1), "PDF"), "a PDF"),
        (encoded_psd(1), "a Photoshop file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video or other file of ISO boxes"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photo of a camera"),
        (b"RIFF\x10\0\0\0AVI LIST", "a RIFF file"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "an OpenEXR"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_read_is_named(data: bytes, kind: str) -> None:
    names = ", ".join(formats.allowed_formats())
    assert refusal(data) == f"expected an image ({names}), got {kind}"


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_heic_of_phones_is_read(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    profile = rgb_profile(SRGB_COLORANTS[::-1], 2.2)
    how = {"quality": 98, "chroma": 444, "exif": exif.tobytes(), "icc_profile": profile}
    data = encoded(photo(1), "HEIF", **how)
    found = pixels(data)
    container = data.replace(b"ftypheic", b"ftypmif1", 1)  # as others begin
    assert np.array_equal(pixels(container), found)
    expected = pixels(encoded(photo(1), "PNG", icc_profile=profile))
    expected = np.rot90(expected, {1: 0, 3: 2, 6: -1}[orientation])
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_a_refusal_of_heic_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(1), "HEIF")
    formats.allowed_formats()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    formats.allowed_formats.cache_clear()
    try:
        assert "HEIF" not in formats.allowed_formats()
        assert refusal(data) == (
            "expected an image that is read without another package, got a HEIF, which needs "
            "pillow-heif: install objseek[heif]"
        )
    finally:
        monkeypatch.undo()
        formats.allowed_formats.cache_clear()
