"""`objseek map`: all objects in a plane."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pipeline.cli.console import err, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CALIBRATION, CONFIG, INDEX, INDEX_EMBEDDER, STATE, STORE_OPTIONS
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline import index_home
    from pipeline.cli import progress_bars
    from pipeline.jobs import object_map
    from pipeline.search import searcher
    from pipeline.transfer import source_snapshot

_HELP = """Lay all objects out in a plane, near to what looks like them, for the page.

The page of `objseek serve` shows the map: every object is a point, in the colour of its label. The
map is kept beside the record of images, and made anew by this command, or from the page. Of more
objects than --limit an even sample is taken. UMAP lays them out: pip install 'objseek[map]'. While
a service has the index open, a copy of it is read.

Examples:

    objseek map --index photos-index

    objseek map --index lance+s3://indexes/photos --limit 20000
"""
_MOST = 100_000  # as object_map.MOST_OBJECTS; a test holds them equal


def register(app: typer.Typer) -> None:
    """Add `map` to the command line."""
    app.command("map", help=_HELP)(map_command)


@add_options(INDEX, STATE, INDEX_EMBEDDER, CALIBRATION, *STORE_OPTIONS, CONFIG)
@user_errors
def map_command(
    load: Load,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=_MOST, help="At most this many objects.")
    ] = _MOST,
) -> None:
    """The command; its help stands above."""
    settings, began = load(), time.monotonic()
    with (
        progress_bars.show_progress(err()) as progress,
        source_snapshot.hold_source(settings, progress) as source,
    ):
        home = index_home.IndexHome.current(settings)
        opened = searcher.Searcher(source.index, settings=settings, generation=home.generation)
        made = object_map.make_map(opened, home, limit, progress.note)
    count, seconds = len(made.positions), time.monotonic() - began
    of_all = "" if count == made.objects else f" of {made.objects:,}"
    noun = "object" if count == 1 else "objects"
    print_line(out(), f"map of {count:,}{of_all} {noun} in {seconds:.1f} s, at {home.parts.place}")
