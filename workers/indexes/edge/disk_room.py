"""Checks that the disk of an index folder has room before the engine writes to it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from schemas.errors import IndexUnavailableError
from workers.indexes.edge.copies import SHARD

# Edge writes through memory maps over sparse files: on a full disk the kernel kills the process
# (SIGBUS) instead of reporting an error. So room is checked for beforehand: for what the holes in
# its files can take, and these reserves for files that it may add.
OPEN_RESERVE = 8 * 2**20
WRITE_RESERVE = 64 * 2**20
CREATE_RESERVE = 192 * 2**20


def check_room(folder: Path, reserve: int) -> None:
    """Raise IndexUnavailableError unless the disk has room for what the files may come to take.

    That is what the holes of the shard in `folder` can take, and `reserve` bytes.
    """
    length, on_disk = measure(folder / SHARD)
    needed = max(0, length - on_disk) + reserve
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise IndexUnavailableError(
            f"the disk of the index folder {folder} is full: {free / 2**20:.0f} MB are free, "
            f"{needed / 2**20:.0f} MB are needed"
        )


def measure(folder: Path) -> tuple[int, int]:
    """Bytes of all files below: their lengths, and what they take on the disk."""
    length = on_disk = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # The manifest beside the shard is compacted, and its parts go, while this runs.
            with suppress(FileNotFoundError):
                status = os.stat(os.path.join(parent, name))
                length += status.st_size
                on_disk += status.st_blocks * 512
    return length, on_disk
