"""Locks a folder for one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderLock:
    """Holds a folder until `release`, or until this process ends, however it ends.

    Nothing is written: the folder itself is locked. Raises BlockingIOError while another
    holds it, OSError for a folder that cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let the next one in; a second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
