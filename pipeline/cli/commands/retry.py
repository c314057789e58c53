"""`objseek retry`: another attempt at the images that failed."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.commands.failures import Unfinished
from pipeline.cli.console import user_errors
from pipeline.cli.options import Load, with_settings
from pipeline.cli.run_job import conclude, shown

_HELP = """Try the images again that failed, and no others; nothing is listed.

Each is read in the version that its store has now. Give it the options of the ingest. `objseek
failures` shows which images those are; the next ingest of their source tries them as well.

Examples:

    objseek retry --index photos-index

    objseek retry --index photos-index --state rejected --state failed
"""


def register(app: typer.Typer) -> None:
    """Add `retry` to the command line."""
    app.command("retry", help=_HELP)(with_settings(retry_command))


@user_errors
def retry_command(
    load: Load,
    states: Annotated[
        list[Unfinished] | None,
        typer.Option(
            "--state", help="Which images. May be given several times.", show_default="failed"
        ),
    ] = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.jobs.retry import retry
    from schemas.manifest import State

    settings = load()
    chosen = [State(state) for state in states or (Unfinished.FAILED,)]
    summary = shown(settings, lambda progress: retry(settings, chosen, progress))
    if summary is None:
        typer.echo(f"Nothing to do: no image is {' or '.join(chosen)}.")
        return
    conclude(summary, settings)
