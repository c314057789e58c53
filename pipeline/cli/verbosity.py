"""Says how much a command tells beside its result: --quiet and --verbose, of every command."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pipeline.ingestion.log_file import OneLine

_OURS = ("pipeline", "workers")
_PANEL = "What is told"


@dataclass(slots=True)
class _Verbosity:
    """What the command line of this process asks for."""

    quiet: bool = False
    verbose: bool = False


class _LogLines(logging.StreamHandler):  # type: ignore[type-arg]
    """To the stream that was standard error when it was made: Ray's output goes elsewhere."""


_chosen = _Verbosity()


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _chosen.quiet


def is_verbose() -> bool:
    """Whether what is logged is wanted on the screen."""
    return _chosen.verbose


def forget_verbosity() -> None:
    """Tell what is usual again, for the next command of this process."""
    _chosen.quiet = _chosen.verbose = False
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _LogLines)]:
        root.removeHandler(handler)
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.NOTSET)
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.WARNING)


def _be_quiet(wanted: bool) -> None:
    if not wanted:
        return
    _refuse_both(_chosen.verbose)
    _chosen.quiet = True
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.ERROR)


def _be_verbose(wanted: bool) -> None:
    if not wanted or _chosen.verbose:
        return
    _refuse_both(_chosen.quiet)
    _chosen.verbose = True
    handler = _LogLines()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def _refuse_both(has_other: bool) -> None:
    if has_other:
        forget_verbosity()
        raise typer.BadParameter("expected either --quiet or --verbose, got both")


QUIET = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_be_quiet,
        help="Only the result, and errors: no progress, no notes.",
        rich_help_panel=_PANEL,
    ),
]
VERBOSE = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=_be_verbose,
        help="Log lines too, as in the log file of a run.",
        rich_help_panel=_PANEL,
    ),
]


def add_verbosity(command: TyperCommand | TyperGroup) -> None:
    """Let a command, or those of a group, be asked for more or less after its own name as well."""
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            assert isinstance(each, TyperCommand | TyperGroup)
            add_verbosity(each)
        return
    declared = typer.Typer(add_completion=False)
    declared.command()(_declare)
    for parameter in get_command(declared).params:
        if parameter.name in ("quiet", "verbose"):
            parameter.expose_value = False
            command.params.append(parameter)


def _declare(quiet: QUIET = False, verbose: VERBOSE = False) -> None:
    """What `add_verbosity` takes the parameters of."""
