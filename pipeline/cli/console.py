"""Makes consoles, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from pipeline.cli.verbosity import is_quiet
from pipeline.messages import sanitize, validation_sentence
from schemas.errors import ObjseekError, UsageError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_FULL = (errno.ENOSPC, errno.EDQUOT)
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def out() -> Console:
    """The console for results."""
    return Console(highlight=False)


def err() -> Console:
    """The console for progress and errors."""
    return Console(stderr=True, highlight=False)


def print_line(console: Console, line: str) -> None:
    """Print `line` as it stands: no markup, and never folded."""
    console.print(line, markup=False, soft_wrap=True)


def print_note(line: str) -> None:
    """Print what is neither a result nor an error on standard error, unless --quiet is given."""
    if not is_quiet():
        typer.echo(line, err=True)


def user_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn what a command raises for its user into one sentence on stderr and an exit code.

    2 for a UsageError or a value that does not validate, 1 for any other ObjseekError and for a
    full disk, 130 for Ctrl-C. Whatever else is raised is a bug, and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except Exception as exc:
            error = _describe_for_user(exc)
            if error is None:
                raise
            sentence, code = error
            typer.echo(f"Error: {sanitize(sentence)}", err=True)
            raise typer.Exit(code) from exc

    return run


def _describe_for_user(error: Exception) -> tuple[str, int] | None:
    """The sentence and exit code of an error that is for the user to read, or None."""
    if isinstance(error, UsageError):
        return str(error), EXIT_USAGE
    if isinstance(error, ObjseekError):
        return str(error), EXIT_FAILED
    if isinstance(error, ValidationError):
        return validation_sentence(error), EXIT_USAGE
    if isinstance(error, OSError) and error.errno in _FULL:
        # Most often of standard output, which has no name here.
        place = "the result" if error.filename is None else str(error.filename)
        return f"{place} cannot be written: {error.strerror}", EXIT_FAILED
    return None
