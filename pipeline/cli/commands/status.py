"""`objseek status`: what an index holds."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.cli.console import out, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import PLACE_OPTIONS, Grouping
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import status_report, status_tables

_HELP = """Show what an index holds: images by state, objects, models, size on disk.

Below that, it shows how many images are done, rejected, failed and gone, by prefix and by day
(UTC), and which pipelines live side by side. With sources, it also counts the images that wait for
an ingest: new ones, and changed ones, which also count as what their earlier version is.

While an ingest has the index open, it shows what the manifest knows so far.

Examples:

    objseek status --index objseek-index

    objseek status s3://photos/2026/ --index photos-index --depth 2

    objseek status --index http://localhost:6333/photos --json
"""


def register(app: typer.Typer) -> None:
    """Add `status` to the command line."""
    app.command("status", help=_HELP)(status_command)


@add_options(*PLACE_OPTIONS)
@user_errors
def status_command(
    load: Load,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE...]", help="What is to be ingested, to count what is waiting."
        ),
    ] = None,
    by: Annotated[
        Grouping | None, typer.Option(help="How images are grouped.", show_default="both")
    ] = None,
    depth: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="Levels of prefixes, below the folder that all images share."
        ),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    report = status_report.gather_report(load(), sources or (), depth)
    if as_json:
        typer.echo(json.dumps(report.fields | report.group_fields(), indent=2))
        return
    status_report.print_fields(report.fields)
    status_tables.print_coverage(out(), report.coverage, by, report.models)
