"""What a person sees: consoles, and errors as one sentence instead of a traceback."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from schemas.redaction import redacted

if TYPE_CHECKING:
    from pydantic import ValidationError
    from rich.console import Console

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SECRETS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "OBJSEEK_INDEX__API_KEY", "HF_TOKEN",
    "RAY_AUTH_TOKEN",
)  # fmt: skip
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def out() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> Console:
    """The console for progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """`text` with what would break a line or steer a terminal written as an escape."""
    return "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text
    )


def told(text: str) -> str:
    """`text` as a person, or a log, may see it: printable, and without secrets."""
    return printable(redacted(text, _known_secrets()))


def _known_secrets() -> list[str]:
    return [os.environ[name] for name in _SECRETS if name in os.environ]


def counted(number: int, noun: str) -> str:
    """`1 object`, `1,234 objects`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def check_output_file(path: Path, what: str) -> None:
    """Raise UsageError unless `what` can be written to `path`: before, not after, the work."""
    from schemas.errors import UsageError

    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{what} cannot be written to {path}: no folder to write in")


def user_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn what a command raises for its user into one sentence on stderr and an exit code.

    2 for a UsageError or a value that does not validate, 1 for any other ObjseekError, 130 for
    Ctrl-C. Whatever else is raised is a bug, and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except Exception as exc:
            error = _of_the_user(exc)
            if error is None:
                raise
            sentence, code = error
            typer.echo(f"Error: {told(sentence)}", err=True)
            raise typer.Exit(code) from exc

    return wrapped


def _of_the_user(error: Exception) -> tuple[str, int] | None:
    """The sentence and exit code of an error that is the user's to read, or None."""
    from pydantic import ValidationError

    from schemas.errors import ObjseekError, UsageError

    if isinstance(error, UsageError):
        return str(error), EXIT_USAGE
    if isinstance(error, ObjseekError):
        return str(error), EXIT_FAILED
    if isinstance(error, ValidationError):
        return validation_sentence(error), EXIT_USAGE
    return None


def validation_sentence(error: ValidationError) -> str:
    """What is wrong with the first value that does not validate, and which one it is."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {message}" if where else message
