"""Declares the options that say which part of a source a job takes."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.shared_options import SharedOption

_PANEL = "Part of the source"

SHARD = SharedOption(
    "shard",
    Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="The I-th of N parts of any source, such as 3/8: as large as others, and always "
            "the same. Jobs of the others may run at the same time, into one index of a "
            "Qdrant server or Lance, with one --state.",
            rich_help_panel=_PANEL,
        ),
    ],
    ("store.shard",),
)
KEY_RANGE = SharedOption(
    "key_range",
    Annotated[
        str | None,
        typer.Option(
            metavar="FROM..BEFORE",
            help="Only whole keys (of files: absolute paths) from one text on and before another, "
            "by their bytes: '2026/..2027/', 'm..' or '..m'. No more of a bucket is listed.",
            rich_help_panel=_PANEL,
        ),
    ],
    ("store.key_range",),
)
PART_OPTIONS = (SHARD, KEY_RANGE)

Shards = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=2,
        max=1024,
        help="Run N jobs here, one a shard, all on the Ray cluster of --ray-address. One that "
        "fails ends no other.",
        rich_help_panel=_PANEL,
    ),
]
