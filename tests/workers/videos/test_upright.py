"""Frames as they are meant to be seen: turned, stretched, and in their colours."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, ColorTrc
from PIL import Image
from support.videos import Drawn, draw_number, read_number, stored, write_video

from schemas.images import UInt8Image
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import VideoPiece
from workers.videos.colours import HDR_NOTE, FrameConverter
from workers.videos.geometry import FrameShape, Turn
from workers.videos.read_frame import iterate_frames, read_frame
from workers.videos.read_piece import read_piece

STORE, DECODE = StoreOptions(), DecodeOptions()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_turned_videos_are_upright(degrees: int, container: str, tmp_path: Path) -> None:
    """A display matrix turns counter-clockwise, as `np.rot90` does."""
    drawn = Drawn(container, count=5, turn_degrees=degrees)
    ref = stored(tmp_path, write_video(drawn))
    straight = stored(tmp_path, write_video(Drawn(container, count=5)), "straight.mp4")
    expected = np.rot90(read_frame(straight, 0.2, STORE, DECODE).pixels, degrees // 90)
    found = read_frame(ref, 0.2, STORE, DECODE).pixels
    assert np.array_equal(found, expected)
    piece = read_piece(VideoPiece(ref), STORE, DECODE, VideoOptions())
    assert piece.info.size_hw == expected.shape[:2]
    ((_, small),) = iterate_frames(ref, 0.2, 0.2, STORE, DECODE, 32)
    assert small.shape == (expected.shape[0] // 2, expected.shape[1] // 2, 3)


def test_mirrored_frames() -> None:
    stored_pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    flipped = Turn(flipped_columns=True).apply(stored_pixels)
    assert np.array_equal(flipped, stored_pixels[:, ::-1])
    both = Turn(True, True, False).apply(stored_pixels)
    assert np.array_equal(both, np.rot90(stored_pixels))


@pytest.mark.parametrize(
    ("aspect", "width"),
    [(Fraction(4, 3), 85), (Fraction(1, 2), 32), (Fraction(1), 64), (Fraction(1, 99), 64)],
)
def test_pixels_become_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video(Drawn(count=9, aspect=aspect)))
    found = read_frame(ref, 0.7, STORE, DECODE).pixels
    assert found.shape == (48, width, 3)
    assert read_number(found) == 7


def test_fitting_keeps_the_shape() -> None:
    shape = FrameShape((640, 480), Turn(transposed=True))
    assert shape.size_hw == (640, 480)
    assert shape.fit(320) == FrameShape((320, 240), Turn(transposed=True))
    assert shape.fit(640) is shape
    assert FrameShape((1000, 2), Turn()).fit(10).scaled_wh == (10, 1)


def plain(
    values: tuple[int, int, int], height: int = 48, pixel_format: str = "yuv420p"
) -> VideoFrame:
    """A frame of one colour: Y, Cb, Cr."""
    frame = VideoFrame(64, height, pixel_format)
    for plane, value in zip(frame.planes, values, strict=True):
        dtype = np.uint16 if "10" in pixel_format else np.uint8
        plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
    return frame


def convert(frame: VideoFrame) -> list[int]:
    """The colour of its middle."""
    pixels = FrameConverter((255, 255, 255)).to_rgb(frame, (frame.width, frame.height))
    assert pixels.dtype == np.uint8
    return [int(level) for level in pixels[frame.height // 2, 32]]


# Pure red of 100% in each matrix, limited range (ITU-R BT.601 and BT.709).
RED_601, RED_709 = (81, 90, 240), (63, 102, 240)


@pytest.mark.parametrize(
    ("frame", "matrix"),
    [
        (plain(RED_601), None),
        (plain(RED_709, height=720), None),
        (plain(RED_709), 1),
        (plain(RED_601, height=720), 6),
        (plain((81 * 4, 90 * 4, 240 * 4), pixel_format="yuv420p10le"), None),
    ],
)
def test_the_matrix_is_the_frames_or_that_of_its_size(
    frame: VideoFrame, matrix: int | None
) -> None:
    if matrix is not None:
        frame.colorspace = matrix
    assert convert(frame) == pytest.approx([255, 0, 0], abs=3)


def test_the_range_is_limited_unless_the_frame_says_otherwise() -> None:
    assert convert(plain((16, 128, 128))) == [0, 0, 0]
    assert convert(plain((235, 128, 128))) == [255, 255, 255]
    full = plain((235, 128, 128))
    full.color_range = ColorRange.JPEG
    assert convert(full) == [235, 235, 235]
    assert convert(plain((235, 128, 128), pixel_format="yuvj420p")) == [235, 235, 235]


# White on paper and half of its light, as PQ and as HLG, in 10 bits of limited range.
@pytest.mark.parametrize(
    ("transfer", "luma", "level"),
    [
        (ColorTrc.SMPTE2084, 573, 255),
        (ColorTrc.SMPTE2084, 509, 188),
        (ColorTrc.SMPTE2084, 900, 255),
        (ColorTrc.SMPTE2084, 64, 0),
        (ColorTrc.ARIB_STD_B67, 721, 255),
        (ColorTrc.ARIB_STD_B67, 569, 180),
    ],
)
def test_high_dynamic_range_is_shown_as_srgb(transfer: int, luma: int, level: int) -> None:
    frame = plain((luma, 512, 512), pixel_format="yuv420p10le")
    frame.colorspace, frame.color_trc = 9, transfer
    assert convert(frame) == pytest.approx([level] * 3, abs=6)


def test_high_dynamic_range_is_noted(tmp_path: Path) -> None:
    params = "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    drawn = Drawn(
        codec="libx265", pixel_format="yuv420p10le", count=5, options={"x265-params": params}
    )
    ref = stored(tmp_path, write_video(drawn))
    piece = read_piece(VideoPiece(ref), STORE, DECODE, VideoOptions())
    assert piece.info.notes == (HDR_NOTE,)


def test_what_is_transparent_shows_the_background(tmp_path: Path) -> None:
    images = [Image.new("RGBA", (64, 48), (255, 0, 0, 0)) for _ in range(2)]
    for k, image in enumerate(images):
        image.paste((0, 0, 255, 255), (0, 0, 20, 20 + k))
    file = io.BytesIO()
    images[0].save(
        file, "WEBP", save_all=True, append_images=images[1:], duration=100, lossless=True
    )
    ref = stored(tmp_path, file.getvalue())
    shown = read_frame(ref, 0.1, STORE, DecodeOptions(alpha_background=(10, 200, 30))).pixels
    assert shown[5, 5].tolist() == [0, 0, 255]
    assert shown[40, 40].tolist() == [10, 200, 30]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize("width", [64, 70])
def test_pixels_are_ones_own(pixel_format: str, width: int, tmp_path: Path) -> None:
    drawn = Drawn(count=3, pixel_format=pixel_format, size_hw=(48, width))
    ref = stored(tmp_path, write_video(drawn))
    piece = read_piece(VideoPiece(ref), STORE, DECODE, VideoOptions(fps=10))
    assert all(frame.pixels.flags.c_contiguous for frame in piece.frames)
    assert all(frame.pixels.flags.writeable for frame in piece.frames)
    assert len({read_number(frame.pixels) for frame in piece.frames}) == 3


def test_odd_sizes(tmp_path: Path) -> None:
    image: UInt8Image = draw_number(5, (47, 63))
    drawn = Drawn("matroska", "ffv1", "yuv444p", count=1, size_hw=(47, 63))
    ref = stored(tmp_path, write_video(drawn, [image]))
    found = read_frame(ref, 0, STORE, DECODE).pixels
    assert np.abs(found.astype(int) - image).max() <= 3
