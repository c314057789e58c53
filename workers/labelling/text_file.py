"""Reads files of texts that objects are to show."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError, one_line


def read_texts(path: Path) -> tuple[str, ...]:
    """The texts of a file, one a line; blank lines and those that begin with # are passed by.

    Raises UsageError for a file that cannot be read, or without any.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the texts {path} cannot be read: {one_line(exc)}") from exc
    stripped = (line.strip() for line in lines)
    texts = tuple(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))
    if not texts:
        raise UsageError(f"expected a text a line in {path}, got none")
    return texts
