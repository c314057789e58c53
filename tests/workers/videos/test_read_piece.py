"""Pieces: how many steps, which frames between them, which cuts, and where a video ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.videos import Drawn, draw_number, read_number, stored, write_video

from schemas.errors import BadImageError
from schemas.images import ImageRef
from schemas.options import DecodeOptions, StoreOptions, VideoOptions
from schemas.videos import DecodedPiece, VideoPiece
from workers.videos import read_piece as module
from workers.videos.open_video import OpenedVideo
from workers.videos.read_piece import read_piece

_GOP = {"g": "9", "bf": "2"}


def read(piece: VideoPiece, fps: float = 2.0) -> DecodedPiece:
    return read_piece(piece, StoreOptions(), DecodeOptions(), VideoOptions(fps=fps))


def read_all(ref: ImageRef, steps: int | None, fps: float = 2.0) -> list[DecodedPiece]:
    pieces = [read(VideoPiece(ref, 0, steps), fps)]
    while not pieces[-1].is_last:
        piece = VideoPiece(ref, len(pieces), pieces[0].piece.steps)
        pieces.append(read(piece, fps))
    return pieces


def scene(seed: int, k: int) -> np.ndarray:
    """A ground of its own colours with a square that moves."""
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(30, 220, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    image[10:20, (2 * k) % 50 : (2 * k) % 50 + 10] = rng.integers(0, 255, 3)
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ImageRef:
    """Six shots in 12 s, one of them of 0.3 s; a flash in the second, something odd in the last."""
    starts = [0, 23, 60, 63, 90, 100]
    frames = []
    for k in range(120):
        shot = sum(k >= start for start in starts) - 1
        image = scene(shot, k)
        if 40 <= k < 42:
            image = np.full_like(image, 255)
        if k == 113:
            image = scene(77, 0)
        frames.append(image)
    data = write_video(Drawn(count=120, options=_GOP), frames)
    return stored(tmp_path_factory.mktemp("film"), data)


def test_shots_and_the_frames_that_show_them(film: ImageRef) -> None:
    (piece,) = read_all(film, None)
    assert piece.piece.steps == 32
    assert piece.cuts_s == pytest.approx([2.3, 6.0, 6.3, 9.0, 10.0])
    times = [round(frame.time_s, 3) for frame in piece.frames]
    assert times == [k / 2 for k in range(23)] + [11.3, 11.5]


def test_a_short_shot_has_a_frame(tmp_path: Path) -> None:
    frames = [scene(0 if k < 11 else 1 if k < 14 else 2, k) for k in range(30)]
    ref = stored(tmp_path, write_video(Drawn(count=30, options=_GOP), frames))
    (piece,) = read_all(ref, None, fps=1.0)
    assert piece.cuts_s == pytest.approx([1.1, 1.4])
    assert [frame.time_s for frame in piece.frames] == pytest.approx([0, 1, 1.2, 2])
    # Also where the video ends before a step would show it.
    ref = stored(tmp_path, write_video(Drawn(count=14, options=_GOP), frames[:14]))
    (piece,) = read_all(ref, None, fps=1.0)
    assert piece.cuts_s == pytest.approx([1.1])
    assert [frame.time_s for frame in piece.frames] == pytest.approx([0, 1, 1.2])


@pytest.mark.parametrize("fps", [2.0, 0.7])
def test_pieces_are_the_whole_whatever_their_steps(film: ImageRef, fps: float) -> None:
    (expected,) = read_all(film, 1000, fps)
    for steps in (1, 2, 5, 7):
        pieces = read_all(film, steps, fps)
        assert [cut for piece in pieces for cut in piece.cuts_s] == list(expected.cuts_s)
        frames = {frame.time_s: frame.pixels for piece in pieces for frame in piece.frames}
        assert sorted(frames) == [frame.time_s for frame in expected.frames]
        assert all(np.array_equal(frames[each.time_s], each.pixels) for each in expected.frames)
        for piece in pieces:
            times = [frame.time_s for frame in piece.frames]
            assert all(times[0] < cut <= times[-1] for cut in piece.cuts_s)
        assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_beyond_the_end_there_is_nothing(film: ImageRef) -> None:
    piece = read(VideoPiece(film, 9, 5))
    assert (piece.frames, piece.cuts_s, piece.is_last) == ((), (), True)


def test_a_piece_that_ends_with_the_video_is_the_last(tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video(Drawn(count=21, options=_GOP)))
    assert read(VideoPiece(ref, 0, 4)).is_last
    ref = stored(tmp_path, write_video(Drawn(count=22, options=_GOP)))
    assert not read(VideoPiece(ref, 0, 4)).is_last
    assert [frame.time_s for frame in read(VideoPiece(ref, 1, 4)).frames] == pytest.approx([2.0])


def test_a_long_gap_is_bridged_by_one_frame(tmp_path: Path) -> None:
    drawn = Drawn(base=10, ticks=[0, 5, 10, 400, 405, 410], options=_GOP)
    pieces = read_all(stored(tmp_path, write_video(drawn)), 10)
    numbers = [[read_number(frame.pixels) for frame in piece.frames] for piece in pieces]
    assert numbers[0] == [0, 1, 2, 3]
    assert numbers[-1] == [3, 4, 5]
    assert {tuple(each) for each in numbers[1:-1]} == {(3,)}


def test_a_gap_of_more_than_an_hour_is_a_mistake(tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video(Drawn(base=10, ticks=[0, 5, 40_000, 40_005])))
    with pytest.raises(BadImageError, match=r"less than an hour apart, got one at 0\.5 s and"):
        read_all(ref, 10)


def test_large_frames_make_short_pieces(
    film: ImageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame_bytes = 48 * 64 * 3
    monkeypatch.setattr(module, "MOST_PIXEL_BYTES", 8 * frame_bytes)
    assert read(VideoPiece(film)).piece.steps == 5
    pieces = read_all(film, None)
    assert max(len(piece.frames) for piece in pieces) <= 8
    monkeypatch.setattr(module, "MOST_PIXEL_BYTES", 1)
    assert read(VideoPiece(film)).piece.steps == 1


def test_a_video_without_a_frame_is_refused(
    film: ImageRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenedVideo, "frames_from", lambda self, time_s: iter(()))
    with pytest.raises(BadImageError, match="expected frames, got none"):
        read(VideoPiece(film))


def test_the_steps_follow_the_rate(film: ImageRef) -> None:
    for fps, steps in ((0.01, 1), (0.5, 8), (2.0, 32), (4.3, 32)):
        assert read(VideoPiece(film), fps).piece.steps == steps


def test_of_fast_videos_not_all_frames_are_looked_at(tmp_path: Path) -> None:
    frames = [scene(k // 300, k // 8) for k in range(900)]
    ref = stored(tmp_path, write_video(Drawn(count=900, base=500, options={"g": "90"}), frames))
    (expected,) = read_all(ref, None, fps=7.0)
    assert expected.cuts_s == pytest.approx([0.6, 1.2], abs=1 / 125)
    pieces = read_all(ref, 3, fps=7.0)
    assert [cut for piece in pieces for cut in piece.cuts_s] == list(expected.cuts_s)
    times = {frame.time_s for piece in pieces for frame in piece.frames}
    assert sorted(times) == [frame.time_s for frame in expected.frames]


def test_what_a_piece_says_of_the_video(tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video(Drawn(count=20)))
    piece = read(VideoPiece(ref))
    assert piece.info.size_hw == (48, 64)
    assert piece.info.duration_s == pytest.approx(2.0)
    assert piece.info.notes == ()
    assert piece.piece == VideoPiece(ref, 0, 32)


def test_packets_that_cannot_be_decoded_are_told(tmp_path: Path) -> None:
    data = write_video(Drawn(count=40, options=_GOP, container_options={"movflags": "faststart"}))
    at = len(data) * 17 // 20
    ref = stored(tmp_path, data[:at] + b"\xff" * 60 + data[at + 60 :])
    piece = read(VideoPiece(ref, 0, 100), fps=10.0)
    assert piece.info.notes == ("some of its frames could not be decoded",)
    assert len(piece.frames) >= 30


def test_a_file_of_another_time_is_not_read(tmp_path: Path) -> None:
    ref = stored(tmp_path, write_video())
    Path(ref.key).write_bytes(write_video(Drawn(count=3)))
    with pytest.raises(Exception, match="expected version"):
        read(VideoPiece(ref))
    with pytest.raises(Exception, match="expected a listed file"):
        read(VideoPiece(replace(ref, key=ref.key + ".gone")))


def test_numbers_can_be_drawn_and_read() -> None:
    assert [read_number(draw_number(k)) for k in range(256)] == list(range(256))
