"""Drawn files of every kind look like those that another decoder makes: 2 levels in the mean."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import ExifTags, Image, ImageCms, features
from support.avif_boxes import with_clean_aperture
from support.icc_profiles import (
    ADOBE_COLORANTS,
    PROPHOTO_COLORANTS,
    SRGB_COLORANTS,
    grey_profile,
    rgb_profile,
)
from support.image_files import encoded
from support.peer_decoder import decode_by_libvips

from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.jpg", version="v", size_bytes=1)
SIZE_HW = (48, 64)
SWAPPED = SRGB_COLORANTS[::-1]
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def scene() -> Image.Image:
    """All hues, dark and light, smooth enough for lossy formats; no edge looks like another."""
    y, x = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    channels = [x * 255 // 63, y * 255 // 47, (x + y) * 255 // 110]
    pixels = np.stack(channels, axis=2).astype(np.uint8)
    pixels[4:20, 6:22] = (250, 20, 30)
    pixels[26:40, 40:60] = (10, 200, 40)
    return Image.fromarray(pixels)


def jpeg(image: Image.Image, **how: object) -> bytes:
    return encoded(image, "JPEG", quality=97, subsampling=0, **how)


def cmyk_profile() -> bytes:
    return bytes(pyvips.Operation.call("profile_load", "cmyk"))


def in_cmyk(profile: bytes) -> Image.Image:
    ours, theirs = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(scene(), ours, theirs, outputMode="CMYK")
    assert converted is not None
    return converted


def cmyk_jpeg() -> bytes:
    return jpeg(in_cmyk(cmyk_profile()), icc_profile=cmyk_profile())


def cmyk_tiff() -> bytes:
    return encoded(in_cmyk(cmyk_profile()), "TIFF", icc_profile=cmyk_profile())


def tiff(values: np.ndarray, **how: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **how)
    return out.getvalue()


def deep() -> np.ndarray:
    """uint16 (height, width, 3)."""
    return np.asarray(scene()).astype(np.uint16) * 257


def planes(order: str = "<", **how: object) -> Callable[[], bytes]:
    values = np.ascontiguousarray(deep().transpose(2, 0, 1))
    return lambda: tiff(values, photometric="rgb", planarconfig="separate", byteorder=order, **how)


def small_palette_tiff() -> bytes:
    image = scene().quantize(64)
    colours = np.array(image.getpalette() + [0] * 768, np.uint16)[:768].reshape(256, 3).T
    return tiff(np.asarray(image), photometric="palette", colormap=np.ascontiguousarray(colours))


def grey(profile: bytes | None = None) -> bytes:
    return encoded(scene().convert("L"), "PNG", icc_profile=profile)


def oriented(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(scene(), kind, exif=exif)


def small_frame_gif() -> bytes:
    """A frame of 40 x 30 at (10, 8) of a canvas of 64 x 48, and a colour that is transparent."""
    data = bytearray(encoded(scene().resize((40, 30)).quantize(32), "GIF", transparency=31))
    data[6:10] = bytes([64, 0, 48, 0])
    frame = data.index(b",", 13 + 3 * 2 ** (1 + (data[10] & 7)))
    data[frame + 1 : frame + 5] = bytes([10, 0, 8, 0])
    return bytes(data)


def clean_aperture_avif() -> bytes:
    return with_clean_aperture(
        encoded(scene(), "AVIF", quality=98, subsampling="4:4:4"), (40, 30), (-4, 6)
    )


KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg(scene()),
    "jpeg progressive": lambda: jpeg(scene(), progressive=True),
    "jpeg grey": lambda: jpeg(scene().convert("L")),
    "jpeg adobe rgb": lambda: jpeg(scene(), icc_profile=rgb_profile(ADOBE_COLORANTS, 2.2)),
    "jpeg prophoto": lambda: jpeg(scene(), icc_profile=rgb_profile(PROPHOTO_COLORANTS, 1.8)),
    "jpeg swapped channels": lambda: jpeg(scene(), icc_profile=rgb_profile(SWAPPED, 2.2)),
    "jpeg grey of a profile": lambda: jpeg(scene().convert("L"), icc_profile=grey_profile(1.0)),
    "jpeg cmyk": cmyk_jpeg,
    "jpeg turned": lambda: oriented("JPEG", 6),
    "png": lambda: encoded(scene(), "PNG"),
    "png swapped channels": lambda: encoded(scene(), "PNG", icc_profile=rgb_profile(SWAPPED, 2.2)),
    "png palette of a profile": lambda: encoded(
        scene().quantize(64), "PNG", icc_profile=rgb_profile(SWAPPED, 2.2)
    ),
    "png grey of a profile": lambda: grey(grey_profile(1.4)),
    "png grey of a wrong profile": lambda: grey(rgb_profile(SWAPPED, 2.2)),
    "webp adobe rgb": lambda: encoded(
        scene(), "WEBP", lossless=True, icc_profile=rgb_profile(ADOBE_COLORANTS, 2.2)
    ),
    "gif": lambda: encoded(scene().quantize(64), "GIF"),
    "gif of a small frame": small_frame_gif,
    "tiff": lambda: encoded(scene(), "TIFF"),
    "tiff lzw": lambda: encoded(scene(), "TIFF", compression="tiff_lzw"),
    "tiff turned": lambda: oriented("TIFF", 5),
    "tiff cmyk": cmyk_tiff,
    "tiff of a profile": lambda: encoded(
        scene(), "TIFF", icc_profile=rgb_profile(ADOBE_COLORANTS, 2.2)
    ),
    "tiff 16 bits": lambda: tiff(deep(), photometric="rgb"),
    "tiff 16 bits planar": planes(),
    "tiff 16 bits planar big-endian": planes(">"),
    "tiff 16 bits planar strips": planes(rowsperstrip=5),
    "tiff 16 bits planar deflate": planes(compression="zlib", predictor=True),
    "tiff 16 bits planar bigtiff": planes(bigtiff=True),
    "tiff 8 bits planar": lambda: tiff(
        np.ascontiguousarray(np.asarray(scene()).transpose(2, 0, 1)),
        photometric="rgb",
        planarconfig="separate",
    ),
    "tiff palette of 8 bits": small_palette_tiff,
    "tiff grey 16 bits": lambda: tiff(deep()[..., 0], photometric="minisblack"),
    "avif": lambda: encoded(scene(), "AVIF", quality=98, subsampling="4:4:4"),
    "avif with a clean aperture": clean_aperture_avif,
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=needs_avif if "avif" in kind else ()) for kind in KINDS]
)
def test_a_file_looks_as_another_decoder_shows_it(kind: str) -> None:
    data = KINDS[kind]()
    found = decode(data, REF, DecodeOptions()).pixels
    expected = decode_by_libvips(data)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_the_profiles_of_these_files_matter() -> None:
    plain = np.asarray(scene()).astype(int)
    for kind in ("webp adobe rgb", "png swapped channels", "tiff of a profile"):
        assert np.abs(decode(KINDS[kind](), REF, DecodeOptions()).pixels - plain).mean() > 3
