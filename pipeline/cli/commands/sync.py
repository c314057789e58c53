"""`objseek sync`: make an index equal to its source."""

from __future__ import annotations

import json

import typer

from pipeline.cli.console import err, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import (
    INGEST_OPTIONS,
    MAX_DELETE,
    Boxes,
    MaxDelete,
    Sources,
    TextPrompts,
)
from pipeline.cli.output_options import AsJson, DryRun
from pipeline.cli.part_options import PART_OPTIONS
from pipeline.cli.shared_options import Load, add_options
from pipeline.messages import describe_dropped, quantify

with lazy_imports():
    import pipeline.settings
    from pipeline.cli import forecast_output, progress_bars, run_job
    from pipeline.jobs import forecast, sync

_HELP = """Ingest what is new or changed, and remove from the index what is gone from its source.

Images of other sources stay, and so do those that --include, --exclude, --shard and --key-range
leave out. If more than
--max-delete of a source's images are gone, nothing is done: a mistyped prefix or an unmounted disk
looks just like that. --dry-run says how many would come and go. Give it the options of the ingest.

Examples:

    objseek sync s3://photos/2026/ --index photos-index

    objseek sync ~/Pictures --index photos-index --max-delete 0.5

    objseek sync s3://photos --shard 3/8 --index http://qdrant:6333/photos --state s3://state/photos
"""


def register(app: typer.Typer) -> None:
    """Add `sync` to the command line."""
    app.command("sync", help=_HELP)(sync_command)


@add_options(*INGEST_OPTIONS, *PART_OPTIONS)
@user_errors
def sync_command(
    load: Load,
    sources: Sources,
    max_delete: MaxDelete = MAX_DELETE,
    boxes: Boxes = None,
    text_prompts: TextPrompts = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    settings = load(boxes=boxes, text_prompts=text_prompts)
    if dry_run:
        run_job.check_models(settings)
        with progress_bars.show_progress(err()) as progress:
            found = forecast.forecast_sync(sources, settings, max_delete, progress)
        forecast_output.print_ingest(found, as_json=as_json)
        return
    summary = run_job.run_with_progress(
        settings, lambda progress: sync.sync(sources, settings, max_delete, progress)
    )
    if as_json:
        _print_json(summary, settings)
        return
    verb = "is" if summary.removed == 1 else "are"
    typer.echo(f"removed {quantify(summary.removed, 'image')} that {verb} no longer there")
    if summary.removed_added:
        typer.echo(f"note: {describe_dropped(summary.removed_added)}")
    if summary.ingest is None:
        typer.echo("The source is empty: there is nothing to ingest.")
        return
    run_job.print_summary(summary.ingest, settings, removed=summary.removed)


def _print_json(summary: sync.SyncSummary, settings: pipeline.settings.Settings) -> None:
    removed, removed_added = summary.removed, summary.removed_added
    if summary.ingest is None:
        fields = {"listed": 0, "removed": removed, "dropped_added": removed_added}
        typer.echo(json.dumps(fields, indent=2))
        return
    run_job.print_summary(
        summary.ingest, settings, removed=removed, removed_added=removed_added, as_json=True
    )
