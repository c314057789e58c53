"""Runs the shards of a source at the same time, with one progress, and prints what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pipeline.cli import run_job
from pipeline.cli.console import EXIT_FAILED, err, print_line
from pipeline.jobs.shards import check_shards, ingest_shards
from pipeline.messages import sanitize
from pipeline.settings import Settings


def run_shards(
    sources: Sequence[str], settings: Settings, count: int, *, as_json: bool = False
) -> None:
    """`objseek ingest --shards`. Ends with the exit code for failures if any job did not end well.

    Raises UsageError for settings that jobs cannot share.
    """
    check_shards(settings, count)
    summary = run_job.run_with_progress(
        settings, lambda progress: ingest_shards(sources, settings, count, progress)
    )
    for shard, error in summary.errors.items():
        print_line(err(), f"Error in shard {shard}: {sanitize(error)}")
    run_job.print_summary(summary.together, settings, as_json=as_json)
    if summary.errors:
        raise typer.Exit(EXIT_FAILED)
