"""Imports Lance when it is chosen, and maps its errors."""

from __future__ import annotations

import re
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
# Of an upkeep it has no class of its own; it commits again by itself, for half a minute.
_CONFLICTS = ("commit conflict", "too many concurrent writers")
# What it says of a request: how long it took, how often it was made, the whole answer of the store.
_REQUEST = re.compile(r"^.*?Error performing ([A-Z]+) ([^\s?]+)\S* in .*? - (?=\S)")
_STATUS = re.compile(r"Server returned non-2xx status code: ")
_DOCUMENT = re.compile(r": <\?xml .*?<Code>(\w+)</Code>.*</Error>")
_SOURCE_LINE = re.compile(r",? /\S+\.rs:\d+(:\d+)?")


class ChangedMeanwhileError(IndexUnavailableError):
    """Another writer has changed the same rows meanwhile; it is tried again."""


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
        raw, text = str(exc), _shorten(one_line(exc))
        if _is_conflict(exc):
            raise ChangedMeanwhileError(
                f"another writer has changed the index {location} meanwhile: {text}"
            ) from exc
        if isinstance(exc, OSError) or _BY_THE_PLACE in raw:
            raise IndexUnavailableError(f"the index {location} cannot be used: {text}") from exc
        raise VectorIndexError(f"the index {location} failed: {text}") from exc


def _is_conflict(error: Exception) -> bool:
    from lance.commit import CommitConflictError

    text = str(error).lower()
    return isinstance(error, CommitConflictError) or any(words in text for words in _CONFLICTS)


def _shorten(text: str) -> str:
    """Lance's message without the lines of its source; of a request, what came of it."""
    text = _SOURCE_LINE.sub("", text)
    text = _REQUEST.sub(r"\1 \2 got ", text)
    return _DOCUMENT.sub(r" (\1)", _STATUS.sub("HTTP ", text)).removeprefix(f"{_BY_THE_PLACE}: ")
