"""Lists the files of a dataset, so that damage is found before it is used."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.transfer.dataset_storage import CATALOGUE, files_of
from schemas.errors import DatasetError
from schemas.pipelines import Pipeline

POINTS = "points"
IMAGES = "images"
"""The folder of the manifest."""
_PIECE = 1 << 20


class FileEntry(BaseModel):
    """One file: `bytes` long, with its sha256 in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class Catalogue(BaseModel):
    """The contents of a dataset; `pipelines` are those that it was made with, as far as known.

    `left_out`: ids of points in its files that are not part of it, because they were being written
    while they were read; their images are recorded as failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["objseek-dataset-1"] = "objseek-dataset-1"
    made_by: str
    made_at: datetime
    index: str
    dim: int
    points: int
    images: int
    left_out: tuple[str, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    files: dict[str, FileEntry]


def write_catalogue(
    folder: Path,
    index: str,
    dim: int,
    points: int,
    images: int,
    left_out: tuple[str, ...],
    pipelines: tuple[Pipeline, ...],
) -> Catalogue:
    """Write the catalogue of a dataset, whose files are all read once more."""
    catalogue = Catalogue(
        made_by=f"objseek {metadata.version('objseek')}",
        made_at=datetime.now(UTC),
        index=index,
        dim=dim,
        points=points,
        images=images,
        left_out=left_out,
        pipelines=pipelines,
        files={name: _entry(folder / name) for name in files_of(folder)},
    )
    (folder / CATALOGUE).write_text(catalogue.model_dump_json(indent=2), encoding="utf-8")
    return catalogue


def read_catalogue(folder: Path) -> Catalogue | None:
    """The catalogue, None if there is none. Raises DatasetError if it is damaged."""
    try:
        return Catalogue.model_validate_json((folder / CATALOGUE).read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as exc:
        first = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else exc.strerror
        raise DatasetError(f"expected a catalogue in {folder / CATALOGUE}: {first}") from exc


def require_catalogue(folder: Path, source: str) -> Catalogue:
    """The catalogue of a backup that `source` names. Raises DatasetError if there is none."""
    catalogue = read_catalogue(folder)
    if catalogue is None:
        raise DatasetError(f"{source} is no whole backup: it has no {CATALOGUE}")
    return catalogue


def check_files(folder: Path, catalogue: Catalogue) -> None:
    """Raise DatasetError, which names the first, unless all files are as they were written."""
    there = set(files_of(folder)) - {CATALOGUE}
    if unknown := sorted(there - set(catalogue.files)):
        raise DatasetError(f"{folder} is damaged: {unknown[0]} is not in its catalogue")
    for name, entry in catalogue.files.items():
        if name not in there:
            raise DatasetError(f"{folder} is damaged: {name} is missing")
        size = (folder / name).stat().st_size
        if size != entry.bytes:
            raise DatasetError(
                f"{folder} is damaged: expected {entry.bytes:,} bytes in {name}, got {size:,}"
            )
        if _entry(folder / name) != entry:
            raise DatasetError(f"{folder} is damaged: {name} is not what was written")


def _entry(path: Path) -> FileEntry:
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
            size += len(piece)
    return FileEntry(bytes=size, sha256=hasher.hexdigest())
