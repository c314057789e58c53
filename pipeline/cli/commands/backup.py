"""`objseek backup`, `objseek restore` and `objseek migrate`: an index at another place."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pipeline.cli.commands.export import tell_brought_in, tell_written
from pipeline.cli.console import err, out, user_errors
from pipeline.cli.options import Load, with_settings
from pipeline.messages import quantify

_BACKUP = """Write an index and its manifest to a folder or bucket, to be restored from.

Points and manifest are held against each other on the way, and every file gets its checksum. An
ingest may be at work: the process that has the index open makes a copy between two writes, which
takes as much room beside the index until the backup is written. What was just being written is
done again by the next ingest after a restore.

Examples:

    objseek backup s3://backups/photos-2026-01-31/ --index photos-index

    objseek backup /mnt/backups/photos --index http://localhost:6333/photos
"""
_RESTORE = """Bring a backup back, to an index that holds nothing.

Every file is held against its checksum, and every row looked at, before anything is written; a
damaged backup changes nothing. One that was interrupted is begun anew by the same command.

Examples:

    objseek restore s3://backups/photos-2026-01-31/ --index photos-index

    objseek restore /mnt/backups/photos --index http://localhost:6333/photos
"""
_MIGRATE = """Copy an index to another place: from a folder to a Qdrant server, or back.

What was written is read again and compared: every vector, and at the end number and checksum of
all points. The source stays as it is; nobody may write to it meanwhile. One that was interrupted
goes on where it is asked for again.

Examples:

    objseek migrate http://localhost:6333/photos --index photos-index

    objseek migrate photos-index --index http://localhost:6333/photos
"""


def register(app: typer.Typer) -> None:
    """Add all three to the command line."""
    app.command("backup", help=_BACKUP)(with_settings(backup_command, models=False))
    app.command("restore", help=_RESTORE)(with_settings(restore_command, models=False))
    app.command("migrate", help=_MIGRATE)(with_settings(migrate_command, models=False))


@user_errors
def backup_command(
    load: Load,
    target: Annotated[str, typer.Argument(help="A new folder, or s3://bucket/prefix.")],
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.transfer.backup import backup

    settings, began = load(), time.monotonic()
    with show_progress(err()) as progress:
        summary = backup(settings, target, progress)
    tell_written(summary, target, time.monotonic() - began)


@user_errors
def restore_command(
    load: Load,
    source: Annotated[str, typer.Argument(help="What a backup has written.")],
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.transfer.backup import restore

    settings = load()
    with show_progress(err()) as progress:
        summary = restore(settings, source, progress)
    tell_brought_in(summary, settings)


@user_errors
def migrate_command(
    load: Load,
    target: Annotated[
        str, typer.Argument(help="A folder, or http(s)://host:6333/collection, that holds nothing.")
    ],
    target_state: Annotated[
        str | None,
        typer.Option(help="As --state, of the target.", show_default="with the index"),
    ] = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.cli.progress_bars import show_progress
    from pipeline.transfer.migrate import migrate

    settings = load()
    index = settings.index.model_copy(update={"location": target, "state": target_state})
    with show_progress(err()) as progress:
        summary = migrate(settings, settings.model_copy(update={"index": index}), progress)
    out().print(
        f"{quantify(summary.points, 'point')} of {quantify(summary.images, 'image')} copied to "
        f"{target}; both have the checksum {summary.checksum}",
        markup=False,
        soft_wrap=True,
    )
