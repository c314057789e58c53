"""Short videos and an image in a folder, and their index: what is bright moves, fakes see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support import fakes
from support.videos import Drawn, write_video

from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings
from schemas.images import UInt8Image

SIZE_HW = (48, 64)
RATE = 10
COUNT, CUT = 40, 20
"""Frames of a video, and the first one of its second shot."""
_BACKGROUNDS = ((40, 60, 120), (120, 30, 20))


def bright_box(number: int) -> tuple[int, int, int, int]:
    """Where the bright square is in a frame: x0, y0, x1, y1, half-open."""
    x0 = 4 + number if number < CUT else 50 - number
    return (x0, 10, x0 + 12, 26)


def draw_frame(number: int) -> UInt8Image:
    """uint8 (height, width, 3)."""
    image = np.empty((*SIZE_HW, 3), np.uint8)
    image[:] = _BACKGROUNDS[number >= CUT]
    x0, y0, x1, y1 = bright_box(number)
    image[y0:y1, x0:x1] = (255, 255, 220)
    return image


def write_videos(folder: Path, count: int = 2) -> None:
    """`count` videos of two shots, and an image."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [draw_frame(number) for number in range(COUNT)]
    for number in range(count):
        drawn = Drawn(count=COUNT, base=RATE, size_hw=SIZE_HW, options={"g": str(10 + number)})
        (folder / f"{number:03}.mp4").write_bytes(write_video(drawn, frames))
    fakes.write_image(folder / "image.png", 7)


def video_index(folder: Path, count: int = 2) -> Settings:
    """The index of `write_videos` in `folder`/images, made if it is not there."""
    settings = fakes.settings(folder / "index")
    if not (folder / "images").exists():
        write_videos(folder / "images", count)
        ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings))
    return settings
