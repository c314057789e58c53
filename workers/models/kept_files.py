"""Keeps files that were fitted to a model under a name, and finds them by name or path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ModelError, UsageError
from workers.durable_files import replace_file
from workers.models.weights import cache_folder

_LONGEST = 100
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}")


def make_name(*parts: str) -> str:
    """A name of these parts that a file can be kept under."""
    cleaned = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") for part in parts)
    return "-".join(filter(None, cleaned))[:_LONGEST]


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files of one kind: `noun` is what one is called, `folder` lies in that of weights."""

    noun: str
    folder: str
    suffix: str

    def place(self, cache_dir: Path | None = None) -> Path:
        """The folder of those that are kept by name."""
        return cache_folder(cache_dir) / self.folder

    def list_names(self, cache_dir: Path | None = None) -> list[str]:
        """The names of those that are kept, sorted."""
        return sorted(path.stem for path in self.place(cache_dir).glob(f"*{self.suffix}"))

    def path_of(self, name: str, cache_dir: Path | None = None) -> Path:
        """The file that keeps, or would keep, what has this name. Raises UsageError for no name."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"expected a name of letters, digits, dots, dashes and underscores, got {name!r}"
            )
        return self.place(cache_dir) / (name + self.suffix)

    def free_path(self, name: str, cache_dir: Path | None = None) -> Path:
        """As `path_of`. Raises UsageError where something is kept there already."""
        path = self.path_of(name, cache_dir)
        if path.exists():
            raise UsageError(
                f"a {self.noun} {name!r} is kept already: give another --name, or remove {path}"
            )
        return path

    def find(self, named: str, cache_dir: Path | None = None) -> Path:
        """The file of a name or path; what has a slash or ends in the suffix is a path.

        It may be absent. Raises UsageError for what can be neither.
        """
        if "/" in named or named.endswith(self.suffix):
            return Path(named).expanduser()
        return self.path_of(named, cache_dir)

    def read(self, named: str, cache_dir: Path | None = None) -> bytes:
        """What a name or path holds. Raises ModelError if there is none, UsageError for no name."""
        path = self.find(named, cache_dir)
        try:
            return path.read_bytes()
        except FileNotFoundError as exc:
            known = ", ".join(self.list_names(cache_dir)) or "none"
            raise ModelError(
                f"there is no {self.noun} {named!r} ({path}): `objseek tune` fits one, kept are "
                f"{known}"
            ) from exc
        except OSError as exc:
            raise ModelError(
                f"the {self.noun} {path} cannot be read: {exc.strerror or exc}"
            ) from exc

    def write(self, path: Path, content: bytes) -> None:
        """Keep `content` there, durably. Raises UsageError if that cannot be."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, durable=True) as target:
                target.write(content)
        except OSError as exc:
            raise UsageError(f"the {self.noun} cannot be kept as {path}: {exc.strerror}") from exc
