"""`objseek doctor`: whether everything that objseek needs is there, and what to do if it is not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.cli.console import EXIT_FAILED, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import INGEST_OPTIONS
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    import pipeline.cli.checkup.check
    from pipeline.cli.checkup import checkup, checkup_report

_HELP = """Look at versions, devices, memory, room, models, source and index: what is wrong?

Below what is wrong stands what to do about it. No model is loaded. A bucket is asked for one key,
an index for what it holds. Lines begin with ✓, ! where something may not be meant so, or ✗ where it
keeps work from being done: then the exit code is 1. Give it the options of the ingest that is to
run.

Examples:

    objseek doctor

    objseek doctor s3://photos/2026/ --index http://qdrant:6333/photos

    objseek doctor --config objseek.toml --json
"""


def register(app: typer.Typer) -> None:
    """Add `doctor` to the command line."""
    app.command("doctor", help=_HELP)(doctor_command)


@add_options(*INGEST_OPTIONS)
@user_errors
def doctor_command(
    load: Load,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE...]", help="What is to be ingested, to be asked as well."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    checks: list[pipeline.cli.checkup.check.Check] = []
    for check in checkup.check_all(load, load.config, sources or ()):
        checks.append(check)
        if not as_json:
            checkup_report.print_check(check)
    report = checkup_report.to_json(checks)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        checkup_report.print_verdict(checks)
    if not report["ok"]:
        raise typer.Exit(EXIT_FAILED)
