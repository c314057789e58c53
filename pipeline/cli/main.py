"""Runs the command `objseek`: finds a command by its name, and imports it when it is called."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer._completion_classes import completion_init
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from pipeline.cli.command_list import COMMANDS
from pipeline.cli.verbosity import QUIET, VERBOSE, add_verbosity, forget_verbosity
from pipeline.ingestion.log_file import show_warnings_as_text

_COMPLETING = "_OBJSEEK_COMPLETE"
"""Set by whoever wants a shell's script, or by that script."""


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import the command `name` and return it. Raises KeyError."""
    registered = typer.Typer()
    import_module(f"pipeline.cli.commands.{COMMANDS[name].file}").register(registered)
    command = get_group(registered).commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)
    add_verbosity(command)
    return command


class LazyGroup(TyperGroup):
    """Lists commands as `COMMANDS` has them, and imports one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=listed.summary, rich_help_panel=listed.group)
            for name, listed in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name, the command and its arguments."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and listed else None, rest


app = typer.Typer(
    cls=LazyGroup,
    name="objseek",
    help="Make every object in every image of a bucket searchable.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    # Two options that change the files of a shell: docs/guide.md has a line for each shell.
    add_completion=False,
    # A traceback is for a bug report, and is wanted as Python prints it.
    pretty_exceptions_enable=False,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"objseek {version('objseek')}")
        raise typer.Exit


@app.callback()
def _set_up(
    context: typer.Context,
    quiet: QUIET = False,
    verbose: VERBOSE = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    context.call_on_close(forget_verbosity)
    show_warnings_as_text()


def main() -> None:
    """Entry point of the console script, which shells ask for completions as well."""
    if _COMPLETING in os.environ:
        completion_init()
    app()


if __name__ == "__main__":
    main()
