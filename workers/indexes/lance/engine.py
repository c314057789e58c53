"""Imports Lance when it is chosen, and maps its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from schemas.errors import (
    IndexUnavailableError,
    ModelError,
    UsageError,
    VectorIndexError,
    one_line,
)

_BY_THE_PLACE = "LanceError(IO)"


def import_lance() -> Any:
    """The module. Raises UsageError where it is not installed."""
    try:
        import lance
    except ImportError as exc:
        raise UsageError(
            "expected Lance to be installed for an index of this kind: pip install objseek[lance]"
        ) from exc
    return lance


@contextmanager
def raising_index_errors(location: str) -> Iterator[None]:
    """Raise Lance's errors as those of an index.

    It raises OSError for what a place answers, and ValueError or RuntimeError for its own.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as exc:
        if isinstance(exc, VectorIndexError | ModelError | UsageError):
            raise
        text = one_line(exc)
        if isinstance(exc, OSError) or _BY_THE_PLACE in text:
            raise IndexUnavailableError(f"the index {location} cannot be used: {text}") from exc
        raise VectorIndexError(f"the index {location} failed: {text}") from exc
