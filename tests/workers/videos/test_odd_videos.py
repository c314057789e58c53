"""Odd files: each is read right, or refused in one sentence that says why."""

from __future__ import annotations

import io
import random
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.videos import (
    Drawn,
    draw_number,
    read_number,
    stored,
    write_video,
)

from schemas.errors import BadImageError
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import DecodedPiece, VideoPiece
from workers.videos.read_piece import read_piece

_GOP = {"g": "7"}
_EVERY = VideoOptions(fps=10)
_STORE = StoreOptions(animations=True)
_ENCRYPTED = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "00112233445566778899aabbccddeeff",
}


def read(
    folder: Path,
    data: bytes,
    video: VideoOptions = _EVERY,
    decode: DecodeOptions | None = None,
    store: StoreOptions = _STORE,
) -> DecodedPiece:
    """All of a video as one piece."""
    ref = stored(folder, data)
    return read_piece(VideoPiece(ref, 0, 1000), store, decode or DecodeOptions(), video)


def assert_right(piece: DecodedPiece) -> None:
    """Each frame, 10 a second, is where its number says."""
    assert piece.frames
    for frame in piece.frames:
        assert frame.time_s == pytest.approx(read_number(frame.pixels) / 10, abs=1e-3)


def assert_one_sentence(error: BadImageError) -> None:
    text = str(error)
    assert text.startswith("expected ")
    assert ", got" in text
    assert text.endswith("/video.mp4)")
    assert "\n" not in text


@cache
def mp4(**more: object) -> bytes:
    return write_video(replace(Drawn(options=_GOP), **more))  # type: ignore[arg-type]


def as_image(name: str, count: int = 1, **more: object) -> bytes:
    images = [Image.fromarray(draw_number(k)) for k in range(count)]
    file = io.BytesIO()
    if count > 1:
        more |= {"save_all": True, "append_images": images[1:], "duration": 100}
    images[0].save(file, name, **more)
    return file.getvalue()


def with_field(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    at = data.index(box) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def zeroed(data: bytes, share: float) -> bytes:
    at, length = int(len(data) * share), len(data) // 20
    return data[:at] + bytes(length) + data[at + length :]


CUT = {
    "mp4": Drawn(options=_GOP, count=40),
    "mp4, index first": Drawn(
        options=_GOP, count=40, container_options={"movflags": "faststart"}
    ),
    "mp4, fragments": Drawn(
        options=_GOP, count=40, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "mkv": Drawn("matroska", options=_GOP, count=40),
    "webm": Drawn("webm", "libvpx-vp9", options={"g": "7", "deadline": "realtime"}, count=40),
    "avi": Drawn("avi", "mpeg4", options=_GOP, count=40),
    "ts": Drawn("mpegts", options=_GOP, count=40),
    "gif": Drawn("gif", "gif", "gray", count=40),
}  # fmt: skip


@cache
def whole_file(name: str) -> bytes:
    return write_video(CUT[name])


@pytest.mark.parametrize("tenths", range(10))
@pytest.mark.parametrize("name", CUT)
def test_a_file_that_has_been_cut_off(name: str, tenths: int, tmp_path: Path) -> None:
    data = whole_file(name)
    try:
        piece = read(tmp_path, data[: len(data) * tenths // 10])
    except BadImageError as exc:
        assert_one_sentence(exc)
    else:
        assert_right(piece)


@pytest.mark.parametrize("name", ["mkv", "mp4, index first", "webm"])
def test_what_is_left_of_a_cut_off_file_may_be_accepted(name: str, tmp_path: Path) -> None:
    data = whole_file(name)[: len(whole_file(name)) * 7 // 10]
    with pytest.raises(BadImageError, match=r"expected 4\.0 s of video, got \d\.\d s"):
        read(tmp_path, data)
    piece = read(tmp_path, data, _EVERY.model_copy(update={"accept_truncated": True}))
    assert_right(piece)
    assert piece.is_last
    assert "truncated" in piece.info.notes[0]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
@pytest.mark.parametrize("name", ["mkv", "webm", "avi", "ts", "mp4, index first"])
def test_zeroed_bytes_end_in_frames_or_a_reason(name: str, share: float, tmp_path: Path) -> None:
    try:
        piece = read(tmp_path, zeroed(whole_file(name), share))
    except BadImageError as exc:
        assert_one_sentence(exc)
    else:
        assert all(frame.pixels.shape == (48, 64, 3) for frame in piece.frames)


RIGHT: dict[str, Callable[[], bytes]] = {
    "one frame": lambda: mp4(count=1),
    "one frame, mkv": lambda: mp4(count=1, container="matroska"),
    "16 sounds": lambda: mp4(sounds=16),
    "16 sounds, mkv": lambda: mp4(sounds=16, container="matroska"),
    "no ftyp": lambda: mp4().replace(b"ftyp", b"free"),
    "no edit list": lambda: mp4().replace(b"elst", b"free"),
    "no list of key frames": lambda: mp4().replace(b"stss", b"free"),
    "junk behind it": lambda: mp4() + b"junk" * 1000,
    "no length": lambda: with_field(mp4(), b"mdhd", 16, bytes(4)),
    "a length of a tick": lambda: with_field(mp4(), b"mdhd", 16, struct.pack(">I", 1)),
    "an absurd length": lambda: with_field(mp4(), b"mvhd", 16, struct.pack(">I", 2**31 - 1)),
    "a size of zero": lambda: with_field(mp4(), b"avc1\0", 23, bytes(4)),
    "one frame, gif": lambda: as_image("GIF"),
    "gif": lambda: as_image("GIF", 8),
    "webp": lambda: as_image("WEBP", 8, lossless=True),
    "one frame, webp": lambda: as_image("WEBP"),
    "sound that goes on": lambda: write_video(
        Drawn("matroska", options=_GOP, sounds=1, sound_s=6.0)
    ).replace(b"DURATION", b"DURATIOX"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_read_right(name: str, tmp_path: Path) -> None:
    piece = read(tmp_path, RIGHT[name]())
    assert_right(piece)
    if "one frame" not in name:
        assert len(piece.frames) >= 8


def no_frames() -> bytes:
    data = whole_file("mp4, fragments")
    return data[: data.index(b"moof") - 4]


def too_long() -> bytes:
    """An mkv that says it lasts 300 s."""
    data = mp4(container="matroska").replace(b"DURATION", b"DURATIOX")
    told = re.search(rb"\x44\x89\x88(.{8})", data, re.DOTALL)
    assert told is not None
    return data[: told.start(1)] + struct.pack(">d", 300_000.0) + data[told.end(1) :]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "got zero bytes"),
    "zeros": (lambda: bytes(5000), "a file that FFmpeg cannot read as one"),
    "text": (lambda: b"hello\n" * 100, "a file that FFmpeg cannot read as one"),
    "a playlist": (
        lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n",
        "a file that FFmpeg cannot read as one",
    ),
    "a list of files": (
        lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
        "a file that FFmpeg cannot read as one",
    ),
    "a session": (
        lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
        "a file that FFmpeg cannot read as one",
    ),
    "jpeg": (lambda: as_image("JPEG"), "got a JPEG"),
    "png": (lambda: as_image("PNG"), "got a PNG"),
    "apng": (lambda: as_image("PNG", 4), "got a PNG"),
    "bmp": (lambda: as_image("BMP"), "got a BMP"),
    "tiff": (lambda: as_image("TIFF"), "got a TIFF"),
    "targa": (lambda: as_image("TGA"), "a file that FFmpeg cannot read as one"),
    "sound": (lambda: mp4(has_film=False, sounds=1), "its streams are audio"),
    "sound with a cover": (
        lambda: mp4(has_film=False, sounds=1, cover=as_image("JPEG")),
        "without one: its streams are audio, video",
    ),
    "encrypted": (lambda: write_video(Drawn(container_options=_ENCRYPTED)), "got an encrypted one"),
    "encrypted, not how": (lambda: mp4().replace(b"avc1\0", b"encv\0"), "an unknown codec"),
    "an unknown codec": (lambda: mp4().replace(b"avc1\0", b"what\0"), "an unknown codec"),
    "no settings of the codec": (lambda: mp4().replace(b"avcC", b"free"), "FFmpeg cannot read"),
    "no index": (lambda: mp4().replace(b"moov", b"what"), "FFmpeg cannot read"),
    "no track": (lambda: mp4().replace(b"trak", b"free"), "its streams are none"),
    "no times": (lambda: mp4().replace(b"stts", b"free"), "a video without any"),
    "no places": (lambda: mp4().replace(b"stco", b"free"), "a video without any"),
    "no sizes": (lambda: mp4().replace(b"stsz", b"free"), "a video without any"),
    "no frames": (no_frames, "a video without any"),
    "a track of sound by its name": (lambda: mp4().replace(b"vide", b"soun"), "are audio"),
    "longer than it is": (too_long, r"expected 300\.0 s of video, got 2\.0 s: the file ends"),
    "cut webp": (lambda: as_image("WEBP", 8)[:-100], "expected a whole animation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(BadImageError, match=reason) as caught:
        read(tmp_path, make())
    assert_one_sentence(caught.value)


@pytest.mark.parametrize("name", ["GIF", "WEBP"])
def test_animations_are_videos_only_when_asked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=f"got a {name}: `store.animations` takes it for one"):
        read(tmp_path, as_image(name, 3), store=StoreOptions())


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_pixels": 3000}, "expected frames of at most 3000 pixels, got 64 x 48"),
        ({"max_side_px": 63}, "with sides of at most 63 pixels, got 64 x 48"),
        ({"min_side_px": 49}, "with sides of at least 49 pixels, got 64 x 48"),
    ],
)
@pytest.mark.parametrize("make", [mp4, lambda: as_image("WEBP", 3), lambda: as_image("GIF", 3)])
def test_limits(
    limits: dict[str, int], reason: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    with pytest.raises(BadImageError, match=reason) as caught:
        read(tmp_path, make(), decode=DecodeOptions(**limits))
    assert_one_sentence(caught.value)


def test_limits_hold_for_frames_with_square_pixels(tmp_path: Path) -> None:
    data = mp4(aspect=Fraction(8))
    with pytest.raises(BadImageError, match="of at most 400 pixels, got 512 x 48"):
        read(tmp_path, data, decode=DecodeOptions(max_side_px=400))


def test_a_video_beside_a_cover_is_the_video(tmp_path: Path) -> None:
    piece = read(tmp_path, mp4(cover=as_image("JPEG")))
    assert_right(piece)
    assert len(piece.frames) == 20


def test_an_edit_list_may_begin_in_the_middle(tmp_path: Path) -> None:
    data = mp4(count=40)
    at = data.index(b"elst") + 16
    (begins,) = struct.unpack(">I", data[at : at + 4])
    later = struct.pack(">I", begins + 5 * 1024)  # ticks of 1/10240 s
    piece = read(tmp_path, data[:at] + later + data[at + 4 :])
    for frame in piece.frames:
        assert read_number(frame.pixels) == pytest.approx(5 + 10 * frame.time_s)
    assert len(piece.frames) >= 30


def test_a_recording_may_begin_in_the_middle(tmp_path: Path) -> None:
    data = whole_file("ts")
    piece = read(tmp_path, data[188 * (len(data) // 188 // 3) :])
    first = read_number(piece.frames[0].pixels)
    assert first > 0
    for frame in piece.frames:
        assert read_number(frame.pixels) == pytest.approx(first + 10 * frame.time_s)


def test_frames_that_change_their_size_are_scaled(tmp_path: Path) -> None:
    small, large = (
        Drawn("mpegts", options=_GOP),
        Drawn("mpegts", options=_GOP, size_hw=(96, 128), ticks=range(20, 40)),
    )
    frames = [draw_number(k, (96, 128)) for k in range(20, 40)]
    piece = read(tmp_path, write_video(small) + write_video(large, frames))
    assert {frame.pixels.shape for frame in piece.frames} == {(48, 64, 3)}
    assert np.unique([read_number(frame.pixels) for frame in piece.frames]).tolist()[:5] == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


@pytest.mark.trials
def test_damaged_files_end_in_frames_or_a_reason(tmp_path: Path) -> None:
    """Memory that a damaged header asks for is refused by FFmpeg as memory that is not there."""
    rng = random.Random(0)
    wholes = [whole_file(name) for name in CUT] + [as_image("WEBP", 5), mp4(sounds=1)]
    for _ in range(1500):
        data = bytearray(rng.choice(wholes))
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(len(data))
            at = at if rng.random() < 0.5 else min(at, rng.randrange(1500))
            damage = rng.choice((rng.randbytes(1), b"\0\0\0\0", b"\xff\xff\xff\xff", b""))
            data[at : at + len(damage) + rng.choice((0, 0, 7))] = damage
        try:
            piece = read(tmp_path, bytes(data), decode=DecodeOptions(max_pixels=1_000_000))
        except BadImageError as exc:
            assert_one_sentence(exc)
        except MemoryError:
            pass
        else:
            assert piece.frames
