"""`objseek sync`: make an index equal to its source."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.ingest import print_summary, shown
from pipeline.commands.options import Load, Sources, with_settings
from pipeline.console import EXIT_FAILED, counted, user_errors

_HELP = """Ingest what is new or changed, and remove from the index what is gone from its source.

Images of other sources stay, and those that --include and --exclude leave out. If more than
--max-delete of a source's images are gone, nothing is done: a mistyped prefix or an unmounted disk
looks just so. Give it the options of the ingest.

Examples:

    objseek sync s3://photos/2026/ --index photos-index

    objseek sync ~/Pictures --index photos-index --max-delete 0.5
"""


def register(app: typer.Typer) -> None:
    """Add `sync` to the command line."""
    app.command("sync", help=_HELP)(with_settings(sync_command))


@user_errors
def sync_command(
    load: Load,
    sources: Sources,
    max_delete: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of a source's images that may be gone; 1: all."),
    ] = 0.1,
) -> None:
    """The command; its help stands above."""
    from pipeline.sync import sync

    settings = load()
    summary = shown(settings, lambda progress: sync(sources, settings, max_delete, progress))
    typer.echo(f"removed {counted(summary.removed, 'image')} that are no longer there")
    if summary.ingest is None:
        typer.echo("The source is empty: there is nothing to ingest.")
        return
    print_summary(summary.ingest, settings)
    if summary.ingest.counts.failed:
        raise typer.Exit(EXIT_FAILED)
