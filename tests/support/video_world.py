"""Short videos and an image in a folder, and their index, which fakes have made."""

from __future__ import annotations

from pathlib import Path

from support import fakes
from support.moving_squares import draw_frames, write_squares

from pipeline.jobs.ingest import ingest
from pipeline.settings import Settings

SHOTS_S = (2.0, 2.0)
FRAMES = list(draw_frames(SHOTS_S))
"""Of each video."""


def video_index(folder: Path, videos: int = 2) -> Settings:
    """The index of the files in `folder`/images, made if it is not there."""
    settings = fakes.settings(folder / "index")
    if not (folder / "images").exists():
        for number in range(videos):
            write_squares(folder / "images" / f"{number:03}.mp4", *SHOTS_S)
        fakes.write_image(folder / "images" / "image.png", 7)
        ingest([str(folder / "images")], settings, recipe=fakes.recipe(settings))
    return settings
