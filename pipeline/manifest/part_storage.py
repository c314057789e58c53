"""Stores a manifest's parts in a folder. A part never changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from schemas.errors import IndexUnavailableError
from workers.durable_files import replace_file, sync

ASIDE = "old-"
"""Prefix of the names of parts that have been set aside."""


class Parts(Protocol):
    """Files by name, each written once and whole, and small texts that may be replaced.

    Raises IndexUnavailableError where a folder cannot be used, StoreAccessError and
    StoreUnavailableError for a bucket.
    """

    place: str

    def exists(self) -> bool:
        """Whether anything was ever kept here."""
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes of each part, in the order of names."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A part to be read, to its end even if it is removed meanwhile.

        Raises FileNotFoundError if it is no longer there.
        """
        ...

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to be written, which becomes a part, durably, when the block ends well."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete parts; it is no error if some are no longer there."""
        ...

    def set_aside(self) -> None:
        """Keep all parts under other names, so that they are parts no longer."""
        ...

    def below(self, name: str, *, large: bool = False) -> Parts:
        """A place for other parts, below this one.

        Of `large` ones there are many or much: none is kept beside where they are stored.
        """
        ...

    def read_text(self, name: str) -> str | None:
        """A small text, None if there is none of this name."""
        ...

    def write_text(self, name: str, text: str) -> None:
        """Keep a small text, in place of the one of this name if there is one."""
        ...


class FolderParts:
    """Parts in a folder, which is created when the first part is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder)

    def exists(self) -> bool:
        with self._raising_storage_errors():
            return self._folder.is_dir()

    def sizes(self) -> dict[str, int]:
        sizes = {}
        with self._raising_storage_errors():
            for part in sorted(self._folder.glob("part-*.parquet")):
                try:
                    sizes[part.name] = part.stat().st_size
                except FileNotFoundError:  # another process compacts
                    continue
        return sizes

    def open(self, name: str) -> BinaryIO:
        try:
            return (self._folder / name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise self._storage_error(exc) from exc

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        with self._raising_storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            with replace_file(self._folder / name, durable=True) as file:
                yield file

    def remove(self, names: Iterable[str]) -> None:
        with self._raising_storage_errors():
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
            if self._folder.is_dir():
                sync(self._folder)

    def set_aside(self) -> None:
        with self._raising_storage_errors():
            for name in self.sizes():
                (self._folder / name).rename(self._folder / (ASIDE + name))

    def below(self, name: str, *, large: bool = False) -> FolderParts:
        return FolderParts(self._folder / name)

    def read_text(self, name: str) -> str | None:
        with self._raising_storage_errors():
            try:
                return (self._folder / name).read_text(encoding="utf-8")
            except FileNotFoundError:
                return None

    def write_text(self, name: str, text: str) -> None:
        with self._raising_storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            with replace_file(self._folder / name) as file:
                file.write(text.encode())

    @contextmanager
    def _raising_storage_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._storage_error(exc) from exc

    def _storage_error(self, error: OSError) -> IndexUnavailableError:
        reason = error.strerror or str(error)
        return IndexUnavailableError(f"the manifest in {self._folder} cannot be used: {reason}")
