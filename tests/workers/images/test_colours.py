"""Colours are sRGB by the profile of the file; sRGB itself changes no pixel, nor a broken one."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.icc_profiles import ADOBE_COLORANTS, SRGB_COLORANTS, grey_profile, rgb_profile
from support.image_files import encoded, photo

from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.jpg", version="v", size_bytes=1)
SWAPPED = rgb_profile(SRGB_COLORANTS[::-1], 2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


def broken_profiles() -> dict[str, bytes]:
    adobe = rgb_profile(ADOBE_COLORANTS, 2.2)
    return {
        "noise": np.random.default_rng(0).bytes(400),
        "cut in its directory": adobe[:150],
        "cut in its curves": adobe[:-60],
        "no curves": adobe.replace(b"TRC", b"TRX"),
        "another signature": adobe.replace(b"acsp", b"acsq"),
        "a link of devices": adobe.replace(b"mntr", b"link"),
        "of a space that no image has": adobe.replace(b"RGB ", b"7CLR"),
        "of grey": grey_profile(1.0),
        "one byte": b"x",
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_profile_of_srgb_changes_no_pixel(kind: str) -> None:
    image = photo(1)
    plain = np.asarray(Image.open(io.BytesIO(encoded(image, kind))).convert("RGB"))
    assert np.array_equal(pixels(encoded(image, kind, icc_profile=SRGB)), plain)
    assert np.array_equal(pixels(encoded(image, kind)), plain)


def test_a_grey_profile_of_the_curve_of_srgb_changes_no_pixel() -> None:
    levels = np.linspace(0, 1, 1024)
    curve = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    grey = photo(1).convert("L")
    profile = grey_profile([round(value * 65535) for value in curve])
    expected = np.asarray(grey.convert("RGB"))
    assert np.array_equal(pixels(encoded(grey, "PNG", icc_profile=profile)), expected)
    darker = grey_profile(3.0)
    assert pixels(encoded(grey, "PNG", icc_profile=darker)).mean() < expected.mean() - 20


@pytest.mark.parametrize("kind", broken_profiles())
def test_a_broken_or_foreign_profile_is_left_out_with_a_note(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="workers.images.colours")
    data = encoded(photo(1), "PNG", icc_profile=broken_profiles()[kind])
    assert np.array_equal(pixels(data), np.asarray(photo(1)))
    (record,) = caplog.records
    assert record.getMessage().startswith("the colour profile of s3://b/photo.jpg is ignored: ")


def test_red_that_the_profile_calls_blue_is_blue() -> None:
    red = Image.new("RGB", (4, 3), (255, 0, 0))
    assert np.abs(pixels(encoded(red, "PNG", icc_profile=SWAPPED)) - [0, 0, 255.0]).max() < 3


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
def test_transparency_is_kept_under_a_profile(mode: str) -> None:
    image = photo(1).convert("RGBA")
    image.putalpha(Image.fromarray((np.indices((48, 64))[1] > 30).astype(np.uint8) * 255))
    profile = grey_profile(2.2) if mode == "LA" else SWAPPED
    found = pixels(encoded(image.convert(mode), "PNG", icc_profile=profile))
    assert (found[:, :30] == 255).all()
    opaque = image.convert("LA").convert("RGB") if mode == "LA" else image.convert("RGB")
    expected = np.asarray(opaque)[:, 31:]
    expected = expected if mode == "LA" else expected[..., ::-1]
    if mode != "P":  # which has fewer colours
        assert np.abs(found[:, 31:].astype(int) - expected).mean() < 4
    else:
        assert found[:, 31:].mean(axis=(0, 1)) == pytest.approx(expected.mean(axis=(0, 1)), abs=15)


def test_a_profile_that_many_images_have_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = rgb_profile(ADOBE_COLORANTS, 1.9)
    data = encoded(photo(2), "PNG", icc_profile=profile)
    first = pixels(data)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ImageCms, "buildTransform", never)
    assert np.array_equal(pixels(data), first)
