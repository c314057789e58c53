"""`objseek failures`: the images that are not in the index, and why."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.options import Config, Index
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify

if TYPE_CHECKING:
    from schemas.manifest import ManifestRow

_HELP = """List the images that are not in an index, each with its reason.

Rejected ones are bad input, failed ones are tried again by the next ingest or by `objseek retry`,
gone ones are no longer in the store.

Examples:

    objseek failures --index objseek-index

    objseek failures --index objseek-index --state rejected --json
"""
_COLUMNS = ("state", "stage", "attempts", "image", "reason")


class Unfinished(StrEnum):
    """The states of images that are not in the index."""

    REJECTED = "rejected"
    FAILED = "failed"
    GONE = "gone"


def register(app: typer.Typer) -> None:
    """Add `failures` to the command line."""
    app.command("failures", help=_HELP)(failures)


@user_errors
def failures(
    index: Index = None,
    states: Annotated[
        list[Unfinished] | None,
        typer.Option("--state", help="Only these. May be given several times."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an image.")
    ] = False,
    state_place: Annotated[
        str | None,
        typer.Option(help="What other commands call --state: where the record of images is kept."),
    ] = None,
    config: Config = None,
) -> None:
    """The command; its help stands above."""
    from pipeline.index_home import IndexHome
    from pipeline.settings import load_settings

    settings = load_settings(config, {"index": {"location": index, "state": state_place}})
    home = IndexHome.current(settings)
    home.require_ingested()
    failures = home.manifest.failures()
    rows = [row for row in failures if not states or Unfinished(row.state) in states]
    rows.sort(key=lambda row: (row.state.value, row.uri))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(_fields(row)))
    else:
        cells = [
            (row.state.value, row.stage, str(row.attempts), row.uri, row.message) for row in rows
        ]
        if cells:
            print_rows(_COLUMNS, cells, stacked=2)
        typer.echo(quantify(len(rows), "image"), err=True)


def _fields(row: ManifestRow) -> dict[str, object]:
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
