"""`objseek retry`: another attempt at the images that failed."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.state_options import (
    ONLY_HELP,
    OPTIONS_WITHOUT_STATE,
    OldStatePlace,
    StatePlaces,
    UnfinishedState,
    sort_states,
)

with lazy_imports():
    import schemas.manifest
    from pipeline.cli import run_job
    from pipeline.jobs import retry

_HELP = """Try the images that failed again, and no others; nothing is listed.

Each is read in the version that its store has now. Give it the options of the ingest. `objseek
failures` shows which images those are; the next ingest of their source tries them as well.

Examples:

    objseek retry --index photos-index

    objseek retry --index photos-index --only rejected --only failed
"""


def register(app: typer.Typer) -> None:
    """Add `retry` to the command line."""
    app.command("retry", help=_HELP)(retry_command)


@add_options(*OPTIONS_WITHOUT_STATE)
@user_errors
def retry_command(
    load: Load,
    only: Annotated[
        list[UnfinishedState] | None, typer.Option(help=ONLY_HELP, show_default="failed")
    ] = None,
    state: StatePlaces = None,
    state_place: OldStatePlace = None,
) -> None:
    """The command; its help stands above."""
    states, place = sort_states(only, state, state_place)
    settings = load(index={"state": place})
    chosen = [schemas.manifest.State(state) for state in states or (UnfinishedState.FAILED,)]
    summary = run_job.run_with_progress(
        settings, lambda progress: retry.retry(settings, chosen, progress)
    )
    if summary is None:
        typer.echo(f"Nothing to do: no image is {' or '.join(chosen)}.")
        return
    run_job.print_summary(summary, settings)
