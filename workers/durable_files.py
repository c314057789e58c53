"""Writes files whole or not at all, and durably where that matters."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from schemas.errors import UsageError


@contextmanager
def replace_file(path: Path, *, durable: bool = False, private: bool = False) -> Iterator[BinaryIO]:
    """A new file to be written, which takes the place of `path` when the block ends well.

    Whoever reads `path` finds the old content or the new, whole; if the block raises, the old one
    stays. `durable`: the new content survives a power failure from the end of the block on.
    `private`: from the first byte on nobody but this user may read it. Raises OSError.
    """
    # In the same folder, for only within one file system is a rename atomic.
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    opener = partial(os.open, mode=0o600 if private else 0o666)
    try:
        with open(unfinished, "xb", opener=opener) as file:
            yield file
        if durable:
            sync(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


@contextmanager
def write_output(path: Path, what: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """As `replace_file`, for what a user asked for: an OSError of the block is a UsageError.

    `what` is written, as "the table".
    """
    try:
        with replace_file(path, private=private) as file:
            yield file
    except OSError as exc:
        raise UsageError(_describe(path, what, exc.strerror or str(exc))) from exc


def sync(path: Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_output_file(path: Path, what: str) -> None:
    """Raise UsageError unless `what` can be written to `path`: before, not after, the work."""
    try:
        if path.is_dir():
            raise UsageError(f"expected a file for {what}, got the folder {path}")
        can_write = path.parent.is_dir() and os.access(path.parent, os.W_OK)
    except OSError as exc:  # a name that is too long, a loop of links
        raise UsageError(_describe(path, what, exc.strerror or str(exc))) from exc
    if not can_write:
        raise UsageError(_describe(path, what, "no folder to write in"))


def _describe(path: Path, what: str, why: str) -> str:
    return f"{what} cannot be written to {path}: {why}"
