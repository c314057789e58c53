"""A JPEG without its end marker is whole if no bit of a pixel is missing, and else is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.icc_profiles import SRGB_COLORANTS, rgb_profile
from support.image_files import encoded, photo

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.jpg", version="v", size_bytes=1)
KINDS = {
    "baseline": lambda: encoded(photo(5), "JPEG"),
    "progressive": lambda: encoded(photo(5), "JPEG", progressive=True),
    "grey": lambda: encoded(photo(5).convert("L"), "JPEG"),
    "cmyk": lambda: encoded(photo(5).convert("CMYK"), "JPEG"),
    "with restarts": lambda: encoded(photo(5), "JPEG", restart_marker_blocks=3),
    "with a thumbnail in its EXIF": lambda: encoded(
        photo(5), "JPEG", exif=b"Exif\0\0" + encoded(photo(6), "JPEG")
    ),
}


def pixels(data: bytes) -> np.ndarray:
    return decode(data, REF, DecodeOptions()).pixels


@pytest.mark.parametrize("rest", [b"", b"\xff", b"\0" * 9], ids=["none", "half", "zeros"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_end_marker_is_missing(kind: str, rest: bytes) -> None:
    whole = KINDS[kind]()
    assert whole.endswith(b"\xff\xd9")
    assert np.array_equal(pixels(whole[:-2] + rest), pixels(whole))


def test_its_profile_and_orientation_are_kept() -> None:
    exif = Image.Exif()
    exif[274] = 8
    profile = rgb_profile(SRGB_COLORANTS[::-1], 2.2)
    whole = encoded(photo(5), "JPEG", exif=exif, icc_profile=profile)
    assert np.array_equal(pixels(whole[:-2]), pixels(whole))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bit_of_a_pixel_is_missing(kind: str) -> None:
    whole = KINDS[kind]()
    for missing in (5, 8, 20, 100, len(whole) // 3):
        with pytest.raises(BadImageError, match="got a JPEG that Pillow cannot decode"):
            pixels(whole[: -2 - missing])


def test_a_progressive_one_that_lacks_its_last_scan() -> None:
    whole = KINDS["progressive"]()
    starts = [n for n in range(len(whole)) if whole[n : n + 2] == b"\xff\xda"]
    assert len(starts) > 3
    for start in starts[1:]:
        with pytest.raises(BadImageError, match="image file is truncated"):
            pixels(whole[:start])
    image = Image.open(io.BytesIO(whole[: starts[-1]] + b"\xff\xd9"))
    image.load()  # Pillow itself would take it
