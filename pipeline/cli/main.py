"""The command `objseek`. Each command is one file in `commands/`, cheap to import."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.commands import (
    backup,
    demo,
    eval,
    export,
    failures,
    ingest,
    keys,
    label,
    models,
    reembed,
    retry,
    search,
    serve,
    status,
    sync,
    verify,
    watch,
)
from pipeline.ingestion.log_file import show_warnings_as_text

app = typer.Typer(
    name="objseek",
    help="Make every object in every image of a bucket searchable.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback is for a bug report, and is wanted as Python prints it.
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"objseek {version('objseek')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Tell it, and exit."),
    ] = False,
) -> None:
    show_warnings_as_text()


for _command in (
    demo,
    ingest,
    search,
    serve,
    keys,
    sync,
    watch,
    status,
    failures,
    retry,
    verify,
    label,
    reembed,
    export,
    backup,
    models,
    eval,
):
    _command.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
