"""`objseek failures`: the images that are not in the index, and why."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.cli.console import print_note, user_errors
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CONFIG, INDEX
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.state_options import (
    ONLY_HELP,
    OldStatePlace,
    StatePlaces,
    UnfinishedState,
    sort_states,
)
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

with lazy_imports():
    import schemas.manifest
    from pipeline import index_home

_HELP = """List the images that are not in an index, each with the reason.

Rejected images are bad input; failed ones are tried again by the next ingest or by `objseek retry`;
gone ones are no longer in the store.

Examples:

    objseek failures --index objseek-index

    objseek failures --index objseek-index --only rejected --json
"""
_COLUMNS = ("state", "stage", "attempts", "image", "reason")


def register(app: typer.Typer) -> None:
    """Add `failures` to the command line."""
    app.command("failures", help=_HELP)(failures_command)


@add_options(INDEX, CONFIG)
@user_errors
def failures_command(
    load: Load,
    only: Annotated[list[UnfinishedState] | None, typer.Option(help=ONLY_HELP)] = None,
    state: StatePlaces = None,
    state_place: OldStatePlace = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    states, place = sort_states(only, state, state_place)
    settings = load(index={"state": place})
    home = index_home.IndexHome.current(settings)
    home.require_ingested()
    failures = home.manifest.failures()
    rows = [row for row in failures if not states or UnfinishedState(row.state) in states]
    rows.sort(key=lambda row: (row.state.value, row.uri))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(_fields(row)))
        return
    if rows:
        cells = [
            (row.state.value, row.stage, str(row.attempts), row.uri, row.message) for row in rows
        ]
        print_rows(_COLUMNS, cells, stacked=2)
    print_note(quantify(len(rows), "image"))


def _fields(row: schemas.manifest.ManifestRow) -> dict[str, object]:
    return {
        "state": row.state.value,
        "stage": row.stage,
        "uri": row.uri,
        "error_class": row.error_class,
        "reason": row.message,
        "retryable": row.retryable,
        "attempts": row.attempts,
        "version": row.version,
        "at": row.at.isoformat(),
    }
