"""Where a manifest's parts are kept: a folder, or a prefix of a bucket. A part never changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from schemas.errors import IndexUnavailableError
from workers.durable_files import sync

ASIDE = "old-"
"""Before the names of parts that are none any more."""


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

        Raises FileNotFoundError if it is there no more.
        """
        ...

    def new(self, name: str) -> AbstractContextManager[Path]:
        """A file to be written, which becomes a part, durably, when the block ends well."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete parts; those that are there no more are no error."""
        ...

    def set_aside(self) -> None:
        """Keep all parts under names that are no parts' any more."""
        ...

    def read_text(self, name: str) -> str | None:
        """A small text, None if there is none."""
        ...

    def write_text(self, name: str, text: str) -> None:
        """Keep a small text in place of the one of this name."""
        ...


class FolderParts:
    """Parts in a folder, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder)

    def exists(self) -> bool:
        with self._mapped():
            return self._folder.is_dir()

    def sizes(self) -> dict[str, int]:
        found = {}
        with self._mapped():
            for part in sorted(self._folder.glob("part-*.parquet")):
                try:
                    found[part.name] = part.stat().st_size
                except FileNotFoundError:  # another process compacts
                    continue
        return found

    def open(self, name: str) -> BinaryIO:
        try:
            return (self._folder / name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise self._unusable(exc) from exc

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        unfinished = self._folder / f".{name}.tmp"
        with self._mapped():
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                yield unfinished
                sync(unfinished)
                unfinished.rename(self._folder / name)
            finally:
                unfinished.unlink(missing_ok=True)
            sync(self._folder)

    def remove(self, names: Iterable[str]) -> None:
        with self._mapped():
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
            sync(self._folder)

    def set_aside(self) -> None:
        with self._mapped():
            for name in self.sizes():
                (self._folder / name).rename(self._folder / (ASIDE + name))

    def read_text(self, name: str) -> str | None:
        with self._mapped():
            try:
                return (self._folder / name).read_text(encoding="utf-8")
            except FileNotFoundError:
                return None

    def write_text(self, name: str, text: str) -> None:
        unfinished = self._folder / f".{name}.{os.getpid()}.tmp"
        with self._mapped():
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self._folder / name)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, error: OSError) -> IndexUnavailableError:
        reason = error.strerror or str(error)
        return IndexUnavailableError(f"the manifest in {self._folder} cannot be used: {reason}")
