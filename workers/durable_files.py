"""What was written, durable."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_output_file(path: Path, what: str) -> None:
    """Raise UsageError unless `what` can be written to `path`: before, not after, the work."""
    from schemas.errors import UsageError

    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{what} cannot be written to {path}: no folder to write in")
