"""A digest of all that is in a folder, to see that nothing was written."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_folder(folder: Path) -> str:
    """The SHA-256 of names, contents and times of all files and folders below a folder."""
    hasher = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        hasher.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            hasher.update(path.read_bytes())
            hasher.update(str(path.stat().st_mtime_ns).encode())
    return hasher.hexdigest()
