"""Opens what somebody else's vectors are in, by what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.transfer.dataset_storage import CATALOGUE
from pipeline.transfer.sources.array_source import ArraySource
from pipeline.transfer.sources.fetched_place import (
    fetched_place,
    has_own_export,
    names_file,
)
from pipeline.transfer.sources.row_source import RowSource
from pipeline.transfer.sources.table_file import ARROW, PARQUET, TEXTS
from pipeline.transfer.sources.table_source import TableSource
from schemas.errors import UsageError

_EXPECTED = (
    "Parquet, Arrow or Feather files, .npy with .jsonl, .csv or .parquet beside it, a Lance "
    "dataset, a Qdrant collection, or a folder of clip-retrieval"
)
_ARRAYS, _ROWS, _IMAGE_VECTORS = "img_emb", "metadata", "img_emb"
_NUMBER = re.compile(r"(\d+)\Z")


def is_own_export(place: str, settings: Settings) -> bool:
    """Whether objseek wrote what is there: an export or a backup, whole or not.

    Also where there is nothing that vectors could be read from, for the reader of exports to say.
    """
    if place.startswith("s3://"):
        is_theirs = names_file(place) or _is_lance(place)
        return not is_theirs and has_own_export(place, settings.store)
    if "://" in place:
        return False
    path = Path(place).expanduser()
    # Not by methods of the path, which raise OSError for a name that is too long.
    if not os.path.isdir(path):
        return not os.path.isfile(path) and not names_file(place)
    if (path / CATALOGUE).exists() or (path / "points").is_dir():
        return True
    return _kind(path) is None


@contextmanager
def open_source(place: str, settings: Settings, progress: Progress) -> Iterator[RowSource]:
    """The rows at a file, a folder, `s3://bucket/prefix`, or `http(s)://host:6333/collection`.

    What is in a bucket is fetched into a temporary folder. Raises UsageError for anything else,
    DatasetError for what is damaged.
    """
    if place.startswith(("http://", "https://")):
        from pipeline.transfer.sources.qdrant_source import QdrantSource

        with closing(QdrantSource(place, settings.index)) as source:
            yield source
    elif place.startswith("s3://") and _is_lance(place):
        from pipeline.transfer.sources.lance_source import LanceSource

        yield LanceSource(place.rstrip("/"), settings.store)
    elif place.startswith("s3://"):
        with fetched_place(place, settings.store, progress) as path:
            yield _open_path(path, place, settings)
    else:
        yield _open_path(Path(place).expanduser(), place, settings)


def _is_lance(place: str) -> bool:
    return place.rstrip("/").endswith(".lance")


def _open_path(path: Path, place: str, settings: Settings) -> RowSource:
    kind = _kind(path) if os.path.exists(path) else None
    if kind is None:
        found = place if os.path.exists(path) else f"nothing at {place}"
        raise UsageError(f"expected {_EXPECTED}, got {found}")
    if kind == "lance":
        from pipeline.transfer.sources.lance_source import LanceSource

        return LanceSource(str(_lance_folder(path)), settings.store)
    if kind == "clip-retrieval":
        return ArraySource(path, _pair_by_number(path), _IMAGE_VECTORS)
    if kind == "arrays":
        arrays = [path] if path.is_file() else _files(path, (".npy",))
        folder = path.parent if path.is_file() else path
        return ArraySource(folder, [(each, _rows_beside(each)) for each in arrays])
    if path.is_file():
        return TableSource(path.parent, [path])
    return TableSource(path, _files(path, PARQUET) or _files(path, ARROW))


def _kind(path: Path) -> str | None:
    """What is at a path, None for nothing that vectors can be read from."""
    if path.is_file():
        if path.suffix.lower() in (*PARQUET, *ARROW, ".jsonl", ".ndjson"):
            return "tables"
        return "arrays" if path.suffix.lower() == ".npy" else None
    if path.suffix == ".lance" or (path / "_versions").is_dir() or any(path.glob("*.lance")):
        return "lance"
    if (path / _ARRAYS).is_dir():
        return "clip-retrieval"
    if _files(path, PARQUET) or _files(path, ARROW):
        return "arrays" if _files(path, (".npy",)) and _all_beside(path) else "tables"
    return "arrays" if _files(path, (".npy",)) else None


def _all_beside(path: Path) -> bool:
    stems = {each.with_suffix("") for each in _files(path, (".npy",))}
    return stems == {each.with_suffix("") for each in _files(path, PARQUET)}


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below a folder, but for what writers of Parquet keep for themselves."""
    return sorted(
        each
        for each in path.rglob("*")
        if each.suffix.lower() in suffixes and each.is_file() and each.name[0] not in "_."
    )


def _lance_folder(path: Path) -> Path:
    if path.suffix == ".lance" or (path / "_versions").is_dir():
        return path
    tables = sorted(path.glob("*.lance"))
    if len(tables) > 1:
        names = ", ".join(each.name for each in tables)
        raise UsageError(f"expected one table, {path} has several: name one of {names} in it")
    return tables[0]


def _rows_beside(arrays: Path) -> Path:
    for suffix in (*TEXTS, *PARQUET, *ARROW):
        if (beside := arrays.with_suffix(suffix)).is_file():
            return beside
    raise UsageError(
        f"expected {arrays.stem}.jsonl, .csv or .parquet beside {arrays}, with a row for each of "
        "its vectors, got none"
    )


def _pair_by_number(folder: Path) -> list[tuple[Path, Path]]:
    """The arrays of clip-retrieval with their metadata: files of both have the same number."""
    arrays = _number_files(folder / _ARRAYS, (".npy",))
    rows = _number_files(folder / _ROWS, PARQUET)
    if not arrays or set(arrays) != set(rows):
        raise UsageError(
            f"expected a file in {folder / _ROWS} for each in {folder / _ARRAYS}, got "
            f"{len(rows):,} for {len(arrays):,}"
        )
    return [(arrays[number], rows[number]) for number in sorted(arrays)]


def _number_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in _files(folder, suffixes):
        other = numbered.setdefault(_number(path), path)
        if other is not path:
            raise UsageError(
                f"expected names that end in a number of their own in {folder}, got {other.name} "
                f"and {path.name}"
            )
    return numbered


def _number(path: Path) -> int:
    found = _NUMBER.search(path.stem)
    return int(found[1]) if found else -1
