"""Frames by their times, out of every kind of file: whole, in pieces, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.videos import Drawn, read_number, stored, write_video

from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import DecodedPiece, VideoPiece
from workers.videos.read_frame import iterate_frames, read_frame
from workers.videos.read_piece import read_piece

STORE, DECODE = StoreOptions(animations=True), DecodeOptions()
_GOP = {"g": "7", "bf": "2"}
_SHORT = "log-level=none:keyint=6"
_EVERY = VideoOptions(fps=10)

DRAWN = {
    "mp4": Drawn(options=_GOP),
    "mp4, one key frame": Drawn(options={"g": "250"}),
    "mp4, open groups": Drawn(
        options={"x264-params": f"{_SHORT}:min-keyint=6:bframes=3:open-gop=1:b-adapt=0"}
    ),
    "mp4, intra refresh": Drawn(
        options={"x264-params": f"{_SHORT}:intra-refresh=1:bframes=0"}
    ),
    "mp4, index first": Drawn(container_options={"movflags": "faststart"}),
    "mp4, fragments": Drawn(
        options=_GOP, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "mp4, start at 7 s": Drawn(options=_GOP, ticks=range(70, 90)),
    "mp4, odd times": Drawn(
        base=1000, ticks=[0, 100, 130, 400, 500, 1234, 1500, 1501, 1900, 2400, 2450, 3000],
        options=_GOP,
    ),
    "mp4, sound": Drawn(options=_GOP, sounds=1),
    "mp4, 10 bits": Drawn(pixel_format="yuv420p10le", options=_GOP),
    "mp4, 4:4:4": Drawn(pixel_format="yuv444p", options=_GOP),
    "mp4, HEVC": Drawn(codec="libx265", options={"x265-params": f"{_SHORT}:bframes=2"}),
    "mp4, AV1": Drawn(codec="libsvtav1", options={"preset": "12", "g": "7"}),
    "mp4, MPEG-4": Drawn(codec="mpeg4", options={"g": "7"}),
    "mov": Drawn("mov", options=_GOP),
    "mov, ProRes": Drawn("mov", "prores_ks", "yuv422p10le"),
    "mov, PNG": Drawn("mov", "png", "rgb24"),
    "mkv": Drawn("matroska", options=_GOP),
    "mkv, no index": Drawn("matroska", options=_GOP, container_options={"live": "1"}),
    "mkv, odd times": Drawn(
        "matroska", base=1000, ticks=[40, 140, 170, 440, 540, 1274, 1540, 1541, 1940], options=_GOP
    ),
    "mkv, FFV1": Drawn("matroska", "ffv1"),
    "webm, VP9": Drawn("webm", "libvpx-vp9", options={"g": "7", "deadline": "realtime"}),
    "webm, VP8": Drawn("webm", "libvpx", options={"g": "7", "deadline": "realtime"}),
    "avi, MPEG-4": Drawn("avi", "mpeg4", options={"g": "7"}),
    "avi, MPEG-4 with B-frames": Drawn("avi", "mpeg4", options={"g": "7", "bf": "2"}),
    "avi, MJPEG": Drawn("avi", "mjpeg", "yuvj420p"),
    "avi, H.264": Drawn("avi", options=_GOP),
    "mpegts": Drawn("mpegts", options=_GOP),
    "mpeg": Drawn("mpeg", "mpeg2video", base=25, options={"g": "7"}),
    "flv": Drawn("flv", "flv1"),
    "raw H.264": Drawn("h264", base=25, options=_GOP),
    "gif": Drawn("gif", "gif", "gray"),
}  # fmt: skip


@pytest.fixture(scope="module", params=DRAWN)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Drawn, ImageRef]:
    drawn = DRAWN[request.param]
    return drawn, stored(tmp_path_factory.mktemp("video"), write_video(drawn))


def whole(ref: ImageRef, video: VideoOptions = _EVERY) -> DecodedPiece:
    return read_piece(VideoPiece(ref, 0, 100_000), STORE, DECODE, video)


def in_pieces(ref: ImageRef, steps: int, video: VideoOptions = _EVERY) -> list[DecodedPiece]:
    pieces = [read_piece(VideoPiece(ref, 0, steps), STORE, DECODE, video)]
    while not pieces[-1].is_last:
        pieces.append(read_piece(VideoPiece(ref, len(pieces), steps), STORE, DECODE, video))
    return pieces


def steps_of(times_s: Sequence[float], fps: float) -> list[int]:
    """Which frames are the first ones at or after a step."""
    found = [
        next((k for k, time_s in enumerate(times_s) if time_s >= step / fps - 1e-6), None)
        for step in range(int(times_s[-1] * fps) + 2)
    ]
    return sorted({k for k in found if k is not None})


@pytest.mark.parametrize("fps", [10.0, 3.0])
def test_each_step_is_the_first_frame_at_or_after_it(
    written: tuple[Drawn, ImageRef], fps: float
) -> None:
    drawn, ref = written
    piece = whole(ref, _EVERY.model_copy(update={"fps": fps}))
    expected = steps_of(drawn.times_s, fps)
    assert [read_number(frame.pixels) for frame in piece.frames] == expected
    times = [drawn.times_s[k] for k in expected]
    assert [frame.time_s for frame in piece.frames] == pytest.approx(times, abs=1e-3)
    assert piece.cuts_s == ()
    assert piece.is_last
    assert piece.info.size_hw == drawn.size_hw


@pytest.mark.parametrize("name", DRAWN)
def test_pieces_are_the_whole(name: str, tmp_path: Path) -> None:
    """Of a video so long that later pieces are not decoded from its start."""
    drawn = DRAWN[name]
    count, first = 8 * drawn.base, drawn.ticks[0] if drawn.ticks else 0
    ticks: Sequence[int] = range(first, first + count)
    if drawn.ticks and drawn.base == 1000:
        ticks = [first + 5 * (tick - first) for tick in drawn.ticks]
    longer = replace(drawn, ticks=ticks)
    ref = stored(tmp_path, write_video(longer))
    video = _EVERY.model_copy(update={"fps": 5.0})
    expected = whole(ref, video)
    pieces = in_pieces(ref, 8, video)
    assert len(pieces) >= 5
    frames = {frame.time_s: frame.pixels for piece in pieces for frame in piece.frames}
    assert sorted(frames) == [frame.time_s for frame in expected.frames]
    assert all(np.array_equal(frames[each.time_s], each.pixels) for each in expected.frames)
    assert {piece.info.notes for piece in pieces} == {()}
    for piece, following in pairwise(pieces):
        assert piece.frames[-1].time_s == following.frames[0].time_s


def test_single_frames_by_their_times(written: tuple[Drawn, ImageRef]) -> None:
    drawn, ref = written
    for number in (len(drawn.times_s) - 1, 0, len(drawn.times_s) // 2):
        found = read_frame(ref, drawn.times_s[number], STORE, DECODE)
        assert read_number(found.pixels) == number


def test_a_span_scaled_down(written: tuple[Drawn, ImageRef]) -> None:
    drawn, ref = written
    first, last = 3, 6
    span = drawn.times_s[first], drawn.times_s[last]
    found = list(iterate_frames(ref, *span, STORE, DECODE, 32))
    assert [read_number(pixels) for _, pixels in found] == list(range(first, last + 1))
    times = drawn.times_s[first : last + 1]
    assert [time_s for time_s, _ in found] == pytest.approx(times, abs=1e-3)
    assert {pixels.shape for _, pixels in found} == {(24, 32, 3)}
