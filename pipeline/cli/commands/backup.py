"""`objseek backup`, `objseek restore` and `objseek migrate`: an index at another place."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import err, out, print_line, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    PLACE_OPTIONS,
)
from pipeline.cli.output_options import AsJson, DryRun
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.transfer_output import print_export, print_import
from pipeline.messages import quantify
from workers.indexes.location import PLACES

with lazy_imports():
    from pipeline.cli import forecast_output, progress_bars
    from pipeline.transfer import backup, forecast, migrate

_BACKUP = """Write an index and its manifest to a folder or bucket, from which they can be restored.

Points and manifest are compared on the way, and every file gets its checksum. An ingest may be
running: the process that has the index open makes a copy between two writes, which takes as much
room beside the index until the backup is written. What was just being written is done again by the
next ingest after a restore.

Examples:

    objseek backup s3://backups/photos-2026-01-31/ --index photos-index

    objseek backup /mnt/backups/photos --index http://localhost:6333/photos
"""
_RESTORE = """Restore a backup into an empty index.

Every file is compared with its checksum, and every row checked, before anything is written; a
damaged backup changes nothing. A restore that was interrupted starts over with the same command.

Examples:

    objseek restore s3://backups/photos-2026-01-31/ --index photos-index

    objseek restore /mnt/backups/photos --index http://localhost:6333/photos
"""
_MIGRATE = """Copy an index to another place: from a folder to a Qdrant server or a bucket, or back.

What was written is read again and compared: every vector, and at the end number and checksum of
all points. The source stays as it is; nobody may write to it meanwhile. A migration that was
interrupted continues with the same command.

Examples:

    objseek migrate http://localhost:6333/photos --index photos-index

    objseek migrate photos-index --index http://localhost:6333/photos

    objseek migrate lance+s3://indexes/photos --index photos-index
"""


def register(app: typer.Typer) -> None:
    """Add all three to the command line."""
    app.command("backup", help=_BACKUP)(backup_command)
    app.command("restore", help=_RESTORE)(restore_command)
    app.command("migrate", help=_MIGRATE)(migrate_command)


@add_options(*PLACE_OPTIONS)
@user_errors
def backup_command(
    load: Load,
    target: Annotated[str, typer.Argument(help="A new folder, or s3://bucket/prefix.")],
) -> None:
    """The command; its help stands above."""
    settings, began = load(), time.monotonic()
    with progress_bars.show_progress(err()) as progress:
        summary = backup.backup(settings, target, progress)
    print_export(summary, target, time.monotonic() - began)


@add_options(*PLACE_OPTIONS)
@user_errors
def restore_command(
    load: Load,
    source: Annotated[str, typer.Argument(help="What a backup has written.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    if dry_run:
        forecast_output.print_transfer(forecast.forecast_restore(settings, source), as_json=as_json)
        return
    with progress_bars.show_progress(err()) as progress:
        summary = backup.restore(settings, source, progress)
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
        return
    print_import(summary, settings.index.location)


@add_options(*PLACE_OPTIONS)
@user_errors
def migrate_command(
    load: Load,
    target: Annotated[str, typer.Argument(help=f"An empty or a new place: {PLACES}.")],
    target_state: Annotated[
        str | None,
        typer.Option(help="As --state, for the target.", show_default="with the index"),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load()
    index = settings.index.model_copy(update={"location": target, "state": target_state})
    there = settings.model_copy(update={"index": index})
    if dry_run:
        forecast_output.print_transfer(forecast.forecast_migrate(settings, there), as_json=as_json)
        return
    with progress_bars.show_progress(err()) as progress:
        summary = migrate.migrate(settings, there, progress)
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
        return
    print_line(
        out(),
        f"{quantify(summary.points, 'point')} of {quantify(summary.images, 'image')} copied to "
        f"{target}; both have the checksum {summary.checksum}",
    )
