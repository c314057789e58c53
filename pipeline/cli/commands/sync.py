"""`objseek sync`: make an index equal to its source."""

from __future__ import annotations

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.options import Load, MaxDelete, Sources, with_settings
from pipeline.cli.run_job import conclude, shown
from pipeline.messages import quantify

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
    max_delete: MaxDelete = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.jobs.sync import MAX_DELETE, sync

    settings, most = load(), MAX_DELETE if max_delete is None else max_delete
    summary = shown(settings, lambda progress: sync(sources, settings, most, progress))
    typer.echo(f"removed {quantify(summary.removed, 'image')} that are no longer there")
    if summary.ingest is None:
        typer.echo("The source is empty: there is nothing to ingest.")
        return
    conclude(summary.ingest, settings)
