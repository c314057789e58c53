"""What was read of a video is gone at once: nothing waits for Python to look for circles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from support.videos import Drawn, stored, write_video

from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import VideoPiece
from workers.videos.read_frame import iterate_frames, read_frame
from workers.videos.read_piece import read_piece

_STORE, _DECODE, _VIDEO = StoreOptions(), DecodeOptions(), VideoOptions()
_NATIVE = (VideoFrame, InputContainer, Stream)
"""Objects of PyAV that hold memory of which Python's collector knows nothing."""


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["mp4", "turned.mp4", "raw.h264"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> ImageRef:
    """Four seconds; a raw stream, which has no times, is opened anew for what comes later."""
    drawn = {
        "mp4": Drawn(count=40),
        "turned.mp4": Drawn(count=40, turn_degrees=90),
        "raw.h264": Drawn("h264", count=110),
    }[request.param]
    return stored(tmp_path, write_video(drawn))


def list_native() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, _NATIVE)]


def test_pieces_keep_nothing_open(video: ImageRef) -> None:
    before = list_native()
    for number in range(2):
        # Pixels may be views of a frame, for as long as the piece is there.
        frames = read_piece(VideoPiece(video, number, 4), _STORE, _DECODE, _VIDEO).frames
        assert len(frames) >= 4
        del frames
        assert list_native() == before


def test_frames_that_are_shown_keep_nothing_open(video: ImageRef) -> None:
    before = list_native()
    assert read_frame(video, 2.0, _STORE, _DECODE).pixels.ndim == 3
    assert len(list(iterate_frames(video, 1.0, 1.5, _STORE, _DECODE, 32))) > 1
    assert list_native() == before
