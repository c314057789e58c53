"""The command `objseek`. Each command is one file in `commands/`, cheap to import."""

from __future__ import annotations

import typer

from pipeline.commands import demo, eval, failures, ingest, models, search, status

app = typer.Typer(
    name="objseek",
    help="Make every object in every image of a bucket searchable.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback is for a bug report, and is wanted as Python prints it.
    pretty_exceptions_enable=False,
)
for _command in (demo, ingest, search, status, failures, models, eval):
    _command.register(app)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
