"""Declares the options that say which videos are read, and how closely."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.shared_options import SharedOption

_PANEL = "Videos"

VIDEOS = SharedOption(
    "videos",
    Annotated[
        bool | None,
        typer.Option(
            "--videos/--no-videos",
            help="Read videos too: .mp4, .mov, .mkv, .webm, .avi and others, if PyAV is installed.",
            show_default="videos",
            rich_help_panel=_PANEL,
        ),
    ],
    ("store.videos",),
)
ANIMATIONS = SharedOption(
    "animations",
    Annotated[
        bool | None,
        typer.Option(
            "--animations/--no-animations",
            help="Take GIF and WebP files for videos; else their first frame is an image.",
            show_default="no-animations",
            rich_help_panel=_PANEL,
        ),
    ],
    ("store.animations",),
)
VIDEO_FPS = SharedOption(
    "video_fps",
    Annotated[
        float | None,
        typer.Option(
            help="How many frames of a second of video are looked at. Another number is another "
            "pipeline, which does videos again.",
            show_default="2",
            rich_help_panel=_PANEL,
        ),
    ],
    ("video.fps",),
)
VIDEO_PROPAGATE = SharedOption(
    "video_propagate",
    Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Have a video model carry masks from frame to frame: sam2 (the segmenter's "
            "weights if it is a sam2.1_*, else sam2.1_t), one of sam2.1_* by its name, or a "
            "folder of its files, as ./NAME. Another one does videos again.",
            show_default="none",
            rich_help_panel=_PANEL,
        ),
    ],
    ("video.propagate",),
)
