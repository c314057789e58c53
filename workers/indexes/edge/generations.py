"""Keeps generations of an index below its folder; the file `current` names the one in use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import IndexBusyError, IndexUnavailableError
from workers.durable_files import replace_file
from workers.indexes.edge.copies import SHARD
from workers.indexes.edge.folder_lock import FolderLock
from workers.indexes.generations import FIRST
from workers.indexes.location import CURRENT_FILE, GENERATIONS_FOLDER, index_folder


class FolderGenerations:
    """The generations of an index folder."""

    def __init__(self, location: str) -> None:
        self._location, self._folder = location, index_folder(location)

    def names(self) -> list[str]:
        with self._raising_index_errors():
            below = self._folder / GENERATIONS_FOLDER
            others = sorted(below.iterdir()) if below.is_dir() else []
            named = [(FIRST, self._folder), *((folder.name, folder) for folder in others)]
            return [name for name, folder in named if (folder / SHARD).is_dir()]

    def current(self) -> str:
        try:
            with self._raising_index_errors():
                return (self._folder / CURRENT_FILE).read_text(encoding="utf-8").strip() or FIRST
        except FileNotFoundError:
            return FIRST

    def location(self, name: str) -> str:
        return (
            self._location
            if name == FIRST
            else str(Path(self._location) / GENERATIONS_FOLDER / name)
        )

    def use(self, name: str) -> None:
        path = self._folder / CURRENT_FILE
        with self._raising_index_errors(), replace_file(path, durable=True, private=True) as file:
            file.write(name.encode())

    def drop(self, name: str) -> None:
        folder = index_folder(self.location(name))
        with self._raising_index_errors():
            try:
                lock = FolderLock(folder)
            except BlockingIOError as exc:
                raise IndexBusyError(
                    f"the index in {folder} is in use: another process has it open"
                ) from exc
            try:
                # The first generation's folder holds the others.
                shutil.rmtree(folder / SHARD if name == FIRST else folder)
            finally:
                lock.release()

    @contextmanager
    def _raising_index_errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise IndexUnavailableError(
                f"the index folder {self._folder} cannot be used: {reason}"
            ) from exc
