"""Pictures of masks from files, whatever is in them."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli.mask_picture import read_mask
from schemas.errors import UsageError


def png(size: tuple[int, int] = (3, 2)) -> bytes:
    """A white picture that says in its header to be of this size."""
    written = io.BytesIO()
    Image.new("L", (3, 2), 255).save(written, "png")
    data = bytearray(written.getvalue())
    for place, length in zip((16, 20), size, strict=True):
        data[place : place + 4] = length.to_bytes(4)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def test_white_is_inside(tmp_path: Path) -> None:
    pixels = np.array([[0, 127, 128], [255, 1, 200]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    expected = [[False, False, True], [True, False, True]]
    assert read_mask(tmp_path / "mask.png").tolist() == expected
    (tmp_path / "white.png").write_bytes(png())
    assert read_mask(tmp_path / "white.png").tolist() == [[True] * 3] * 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "the mask .*mask.png cannot be read: No such file or directory"),
        (b"", "expected a picture of a mask, got none in .*mask.png"),
        (png((60_000, 60_000)), "expected a picture of a mask, got .*mask.png: Image size"),
        (png()[:50], "mask.png"),
        (png().replace(b"IDAT", b"\0DAT"), "mask.png"),
    ],
    ids=["none", "empty", "huge", "cut off", "a broken chunk"],
)
def test_what_is_no_picture_is_told_in_a_sentence(
    tmp_path: Path, data: bytes | None, expected: str
) -> None:
    if data is not None:
        (tmp_path / "mask.png").write_bytes(data)
    with pytest.raises(UsageError, match=expected):
        read_mask(tmp_path / "mask.png")
