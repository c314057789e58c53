"""What a file does not show is not shown: outside of a GIF's frame, outside of an aperture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features
from support.avif_boxes import with_clean_aperture
from support.image_files import encoded, photo

from schemas.images import ImageRef
from schemas.options import DecodeOptions
from workers.images.clean_aperture import read_clean_aperture
from workers.images.decode import decode

pytestmark = pytest.mark.trials

REF = ImageRef(store="s3", bucket="b", key="photo.gif", version="v", size_bytes=1)
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def pixels(data: bytes, **options: object) -> np.ndarray:
    return decode(data, REF, DecodeOptions(**options)).pixels


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("mode", ["P", "L"])
def test_a_frame_smaller_than_its_canvas(mode: str, transparent: bool) -> None:
    frame = photo(1).convert("L") if mode == "L" else photo(1).quantize(16)
    how = {"transparency": 255} if transparent else {}
    data = bytearray(encoded(frame, "GIF", **how))
    whole = pixels(bytes(data))
    data[6:10] = bytes([100, 0, 80, 0])
    start = data.index(b"\x2c\0\0\0\0\x40\0\x30\0")
    data[start + 1 : start + 5] = bytes([20, 0, 9, 0])
    found = pixels(bytes(data), alpha_background=(1, 2, 3))
    assert found.shape == (80, 100, 3)
    assert np.array_equal(found[9 : 9 + 48, 20 : 20 + 64], whole)
    outside = np.ones((80, 100), bool)
    outside[9 : 9 + 48, 20 : 20 + 64] = False
    assert (found[outside] == (1, 2, 3)).all()


@needs_avif
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_clean_aperture_is_cut_out_before_the_image_is_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(photo(1), "AVIF", exif=exif)
    # Its centre is 4 to the left of and 3 below the centre of 64 x 48.
    found = pixels(with_clean_aperture(data, (40, 30), (-8, 6)))
    upright = pixels(data)
    stored = np.rot90(upright, 1) if orientation == 6 else upright
    expected = stored[12:42, 8:48]
    expected = np.rot90(expected, -1) if orientation == 6 else expected
    assert np.array_equal(found, expected)


@needs_avif
@pytest.mark.parametrize(
    ("size_wh", "offset"),
    [
        ((64, 48), (0, 0)),
        ((65, 48), (0, 0)),
        ((40, 30), (100, 0)),
        ((41, 30), (0, 0)),
        ((0, 9), (0, 0)),
    ],
    ids=str,
)
def test_an_aperture_that_is_no_part_of_the_image_is_left_out(
    size_wh: tuple[int, int], offset: tuple[int, int]
) -> None:
    data = encoded(photo(1), "AVIF")
    assert np.array_equal(pixels(with_clean_aperture(data, size_wh, offset)), pixels(data))


AVIF = (
    with_clean_aperture(encoded(photo(1), "AVIF"), (40, 30), (0, 0))
    if features.check("avif")
    else b""
)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=1, max_size=4)), max_size=5),
    st.integers(0, 500),
)
def test_broken_boxes_give_a_part_of_the_image_or_none(
    changes: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(AVIF[: len(AVIF) - cut])
    for place, change in changes:
        data[place : place + len(change)] = change
    box = read_clean_aperture(bytes(data), (64, 48))
    if box is not None:
        left, top, right, bottom = box
        assert 0 <= left < right <= 64
        assert 0 <= top < bottom <= 48
