"""`objseek optimize`: what was written to an index, put in order."""

from __future__ import annotations

import time

import typer

from pipeline.cli.console import err, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import PLACE_OPTIONS
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline import index_home
    from pipeline.cli import progress_bars
    from workers.indexes import location

_HELP = """Put what was written to an index in order, for quick searches.

Of a Lance table, small files are put together, new points are indexed, and versions older than a
day are removed; partitions are made anew where the table has become four times as large. Writers
do most of this themselves, between what they write. Of a folder, room of points that were replaced
is given back. A Qdrant server does it by itself; of a collection that `objseek init` set up for
many objects it makes the graph from now on, and goes on answering meanwhile.

Others may go on reading and writing; a folder, though, must not be open elsewhere.

Examples:

    objseek optimize --index lance+s3://indexes/photos

    objseek optimize --index photos-index

    objseek optimize --index http://qdrant:6333/photos
"""


def register(app: typer.Typer) -> None:
    """Add `optimize` to the command line."""
    app.command("optimize", help=_HELP)(optimize_command)


@add_options(*PLACE_OPTIONS)
@user_errors
def optimize_command(load: Load) -> None:
    """The command; its help stands above."""
    home = index_home.IndexHome.current(load())
    home.require_ingested()
    started = time.monotonic()
    with home.points() as index:
        index.require_writable()
        before = index.info()
        progress_bars.show_progress(err()).note(f"putting {before.points:,} points in order")
        index.optimize()
        after = index.info()
    if location.kind_of(home.index.location) == "server":
        print_line(
            out(), f"the server puts {after.points:,} points in order, and goes on answering"
        )
        return
    line = f"{after.points:,} points put in order in {time.monotonic() - started:.1f} s"
    if before.size_bytes is not None and after.size_bytes is not None:
        line += f", {before.size_bytes / 1e6:,.1f} MB before, {after.size_bytes / 1e6:,.1f} MB now"
    print_line(out(), line)
