"""An ingest in a process of its own that halts before it reads a piece of a video, to be killed."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from support import fakes

from pipeline.jobs.ingest import ingest


def main(source: str, index: str, number: str) -> None:
    """Ingest until piece `number` of a video is to be read."""
    settings = fakes.settings(Path(index))
    recipe = fakes.recipe(settings)
    reader = partial(
        fakes.misbehaving_piece_reader,
        reader=recipe.piece_reader,
        name="",
        number=int(number),
        misbehave=signal.pause,
    )
    ingest([source], settings, recipe=replace(recipe, piece_reader=reader))


if __name__ == "__main__":
    main(*sys.argv[1:])
