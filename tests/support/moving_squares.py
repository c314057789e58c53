"""Videos of a bright square that moves, in shots of different colours; small and quick to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from support.videos import Drawn, write_video

from schemas.images import UInt8Image

RATE = 10
SIZE_HW = (48, 64)
_SQUARE_PX = 12
_COLOURS = ((20, 60, 90), (90, 20, 40), (30, 90, 30))


def draw_frames(shots_s: Sequence[float]) -> Iterator[UInt8Image]:
    """Frames of shots that last so long, `RATE` a second; in each the square crosses the frame."""
    for number, length_s in enumerate(shots_s):
        count = round(length_s * RATE)
        for k in range(count):
            pixels = np.full((*SIZE_HW, 3), _COLOURS[number % len(_COLOURS)], np.uint8)
            x, y = _place(k / max(count - 1, 1), number)
            pixels[y : y + _SQUARE_PX, x : x + _SQUARE_PX] = 255
            yield pixels


def _place(share: float, shot: int) -> tuple[int, int]:
    reach = SIZE_HW[1] // 2 - _SQUARE_PX
    # In the right half, so that it is no part of what the fake segmenter finds on the left.
    return SIZE_HW[1] // 2 + round(share * reach), 4 + 14 * (shot % 3)


def write_squares(path: Path, *shots_s: float) -> Path:
    """The video at a path; its container by the name's end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encode(path.suffix, shots_s))
    return path


@cache
def _encode(suffix: str, shots_s: tuple[float, ...]) -> bytes:
    frames = list(draw_frames(shots_s))
    container = {".mp4": "mp4", ".mkv": "matroska"}[suffix]
    drawn = Drawn(container=container, count=len(frames), base=RATE, size_hw=SIZE_HW)
    return write_video(drawn, frames)
