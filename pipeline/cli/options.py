"""Declares the options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.model_names import complete_embedder, complete_refiner, complete_segmenter
from pipeline.cli.shared_options import SharedOption
from pipeline.cli.video_options import ANIMATIONS, VIDEO_FPS, VIDEO_PROPAGATE, VIDEOS
from workers.indexes.location import PLACES

_STORE = "Object store"
_MODELS = "Models"
_RUN = "How it runs"

INDEX = SharedOption(
    "index",
    Annotated[
        str | None,
        typer.Option("--index", "-i", help=f"Where it is: {PLACES}.", show_default="objseek-index"),
    ],
    ("index.location",),
)
STATE = SharedOption(
    "state",
    Annotated[
        str | None,
        typer.Option(
            help="Where the record of each image is kept: a folder or s3://bucket/prefix, which "
            "jobs on several machines may share.",
            show_default="with the index",
        ),
    ],
    ("index.state",),
)
CONFIG = SharedOption(
    "config",
    Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="OBJSEEK_CONFIG",
            help="A TOML file of settings. Environment variables OBJSEEK_SECTION__KEY override "
            "it, and options override both.",
        ),
    ],
)
ENDPOINT_URL = SharedOption(
    "endpoint_url",
    Annotated[
        str | None,
        typer.Option(help="The URL of an S3 store other than AWS.", rich_help_panel=_STORE),
    ],
    ("store.endpoint_url",),
)
PROFILE = SharedOption(
    "profile",
    Annotated[str | None, typer.Option(help="The AWS profile to use.", rich_help_panel=_STORE)],
    ("store.profile",),
)
ANONYMOUS = SharedOption(
    "anonymous",
    Annotated[
        bool | None,
        typer.Option(
            "--anonymous/--signed", help="Read without credentials.", rich_help_panel=_STORE
        ),
    ],
    ("store.anonymous",),
)
REQUESTER_PAYS = SharedOption(
    "requester_pays",
    Annotated[
        bool | None,
        typer.Option(
            "--requester-pays/--owner-pays", help="Pay for the requests.", rich_help_panel=_STORE
        ),
    ],
    ("store.requester_pays",),
)
INCLUDE = SharedOption(
    "include",
    Annotated[
        list[str] | None,
        typer.Option(
            help="Only images and videos whose whole key (of a file: its absolute path) matches "
            "this pattern, such as '*/2026/*.jpg'. May be given several times.",
            rich_help_panel=_STORE,
        ),
    ],
    ("store.include",),
)
EXCLUDE = SharedOption(
    "exclude",
    Annotated[
        list[str] | None,
        typer.Option(
            help="Skip keys that match this pattern. May be given several times.",
            rich_help_panel=_STORE,
        ),
    ],
    ("store.exclude",),
)
SEGMENTER = SharedOption(
    "segmenter",
    Annotated[
        str | None,
        typer.Option(
            "--segmenter",
            "-s",
            help="The segmentation model; see `objseek models`.",
            autocompletion=complete_segmenter,
            show_default="sam_demo",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.name",),
)
EMBEDDER = SharedOption(
    "embedder",
    Annotated[
        str | None,
        typer.Option(
            "--embedder",
            "-e",
            help="The embedding model: clip_demo, architecture/pretrained of open_clip, or "
            "local-dir:FOLDER.",
            autocompletion=complete_embedder,
            show_default="clip_demo",
            rich_help_panel=_MODELS,
        ),
    ],
    ("embedder.name",),
)
INDEX_EMBEDDER = SharedOption(
    "embedder",
    Annotated[
        str | None,
        typer.Option(
            "--embedder",
            "-e",
            help="The embedding model, as for `objseek ingest`.",
            autocompletion=complete_embedder,
            show_default="the one that the index was built with",
        ),
    ],
    ("embedder.name",),
)
DEVICE = SharedOption(
    "device",
    Annotated[
        Literal["auto", "cpu", "cuda", "mps"] | None,
        typer.Option(
            "--device",
            "-d",
            help="Where both models run.",
            show_default="auto",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.device", "embedder.device"),
)
PRESET = SharedOption(
    "preset",
    Annotated[
        Literal["fast", "balanced", "thorough"] | None,
        typer.Option(
            help="How closely to look: fast misses small objects, thorough takes several times as "
            "long.",
            show_default="balanced",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.preset",),
)
PROMPTS = SharedOption(
    "prompts",
    Annotated[
        Literal["grid", "adaptive"] | None,
        typer.Option(
            help="Which points of its grid the segmenter is asked: all, or adaptive: coarse to "
            "fine, none where nothing or nothing new is likely. For sam_demo that is a fifth of "
            "the prompts. Real weights ask the whole grid unless this is said: adaptive saves "
            "them a third of the prompts where a picture is full of small things, three quarters "
            "where large ones fill it, more with a scorer (see `objseek tune`), and may lose a "
            "few masks in a hundred.",
            show_default="adaptive for sam_demo and with --preset fast, else grid",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.prompts",),
)
SCORER = SharedOption(
    "scorer",
    Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="What `objseek tune` has fitted to the segmenter: where it would find nothing, "
            "adaptive prompts are left out. With it prompts are adaptive.",
            show_default="that of sam_demo for sam_demo, else none",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.scorer",),
)
REFINE = SharedOption(
    "refine",
    Annotated[
        list[str] | None,
        typer.Option(
            metavar="edges|sam|tidy",
            autocompletion=complete_refiner,
            help="Make masks finer: edges moves their borders to where colours change, some "
            "20 ms a mask; sam asks a SAM with each, for masks of other segmenters; tidy fills "
            "holes and drops islands. May be given several times, in their order. An index made "
            "without is another pipeline's, and done again.",
            show_default="edges for clicks and boxes of sam_demo, else none",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.refine",),
)
CALIBRATION = SharedOption(
    "calibration",
    Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="What `objseek tune --truth` has fitted to the embedder: how likely a hit or a "
            "label is right, and how objects rank for a text.",
            show_default="that of clip_demo for clip_demo, else none",
            rich_help_panel=_MODELS,
        ),
    ],
    ("embedder.calibration",),
)
PRECISION = SharedOption(
    "precision",
    Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(
            help="What both models compute in; auto: bf16 on CUDA, else fp32. An index goes on in "
            "what it was begun in.",
            show_default="auto",
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.precision", "embedder.precision"),
)
ACCEPT_LICENCE = SharedOption(
    "accept_licence",
    Annotated[
        bool | None,
        typer.Option(
            "--accept-licence",
            help="Say that you accept the licence of a segmenter's weights that are not free for "
            "every use: SegFormer's and Mask2Former's; see `objseek models`.",
            show_default=False,
            rich_help_panel=_MODELS,
        ),
    ],
    ("segmenter.accept_licence",),
)
RUNNER = SharedOption(
    "runner",
    Annotated[
        Literal["ray", "local"] | None,
        typer.Option(
            help="local: everything in one process.", show_default="ray", rich_help_panel=_RUN
        ),
    ],
    ("runner.name",),
)
WORKERS = SharedOption(
    "workers",
    Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            help="Processes that run the models; threads with --runner local.",
            show_default="1",
            rich_help_panel=_RUN,
        ),
    ],
    ("runner.workers",),
)
BATCH_SIZE = SharedOption(
    "batch_size",
    Annotated[
        int | None,
        typer.Option(
            help="Images in a chunk; a piece of a video is one of its own.",
            show_default="8",
            rich_help_panel=_RUN,
        ),
    ],
    ("runner.batch_size",),
)
RAY_ADDRESS = SharedOption(
    "ray_address",
    Annotated[
        str | None,
        typer.Option(
            help="The address of a running Ray cluster; auto finds it.", rich_help_panel=_RUN
        ),
    ],
    ("runner.ray_address",),
)
STALL_TIMEOUT = SharedOption(
    "stall_timeout",
    Annotated[
        float | None,
        typer.Option(
            help="Seconds without progress after which a run ends, and images that hang are found.",
            show_default="300",
            rich_help_panel=_RUN,
        ),
    ],
    ("runner.stall_timeout_s",),
)

STORE_OPTIONS = (ENDPOINT_URL, PROFILE, ANONYMOUS, REQUESTER_PAYS)
PLACE_OPTIONS = (INDEX, STATE, CONFIG, *STORE_OPTIONS, INCLUDE, EXCLUDE, VIDEOS, ANIMATIONS)
MODEL_OPTIONS = (
    SEGMENTER,
    EMBEDDER,
    DEVICE,
    PRESET,
    PROMPTS,
    SCORER,
    REFINE,
    CALIBRATION,
    PRECISION,
    ACCEPT_LICENCE,
)
RUN_OPTIONS = (RUNNER, WORKERS, BATCH_SIZE, RAY_ADDRESS, STALL_TIMEOUT)
INGEST_OPTIONS = (*PLACE_OPTIONS, VIDEO_FPS, VIDEO_PROPAGATE, *MODEL_OPTIONS, *RUN_OPTIONS)

# What commands take that sets nothing: arguments and options of their own, in the same words.
Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="s3://bucket/prefix, a folder, a file or a glob."),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A COCO or Parquet file of boxes around objects: each gives one mask, and points are "
        "asked, adaptively, where these cover nothing.",
        rich_help_panel=_MODELS,
    ),
]
TextPrompts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A file of texts, one a line: only objects that show one of them are kept.",
        rich_help_panel=_MODELS,
    ),
]
MaxDelete = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="The largest share of what is there that may be deleted; 1: all of it.",
    ),
]
# As pipeline.jobs.sync has it, which takes a second to import; a test holds them equal.
MAX_DELETE = 0.1
Grouping = Literal["prefix", "day", "both"]
"""What `objseek status` groups images by."""


Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse files with a wrong annotation or row, rather than leave that out."
    ),
]
