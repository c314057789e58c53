"""Declares the options of commands that compose scenes and run the models on them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Scenes = Annotated[int, typer.Option(min=1, help="How many images to compose.")]
Seed = Annotated[int, typer.Option(help="Another seed composes other scenes.")]
DemoWorkers = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        help="Threads that run the models, or with --runner ray processes.",
    ),
]
DemoRunner = Annotated[
    Literal["ray", "local"],
    typer.Option(help="local: everything in one process; ray: as an ingest does by default."),
]
