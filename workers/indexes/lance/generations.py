"""Keeps generations of a Lance index below its place; the file `current` names the one in use."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import ObjectGoneError
from schemas.options import IndexOptions
from workers.durable_files import replace_file
from workers.indexes.generations import FIRST
from workers.indexes.lance import engine
from workers.indexes.lance.storage import (
    raising_index_errors,
    storage_options,
    store_options,
    table_uri,
)
from workers.indexes.location import (
    CURRENT_FILE,
    GENERATIONS_FOLDER,
    LANCE_TABLE,
    is_bucket_table,
    lance_place,
)
from workers.stores.s3_prefix import S3Prefix


class LanceGenerations:
    """The generations of a Lance index."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options
        self._place = lance_place(options.location)
        self._in_bucket = is_bucket_table(options.location)

    def names(self) -> list[str]:
        if self._in_bucket:
            with raising_index_errors(self._options.location):
                others = self._objects().folders(f"{GENERATIONS_FOLDER}/")
        else:
            below = Path(self._place) / GENERATIONS_FOLDER
            others = [folder.name for folder in below.iterdir()] if below.is_dir() else []
        return [name for name in (FIRST, *sorted(others)) if self._exists(name)]

    def current(self) -> str:
        try:
            if self._in_bucket:
                with raising_index_errors(self._options.location):
                    named = _read(self._objects())
            else:
                named = (Path(self._place) / CURRENT_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return FIRST
        return named.strip() or FIRST

    def location(self, name: str) -> str:
        if name == FIRST:
            return self._options.location
        return f"{self._options.location.rstrip('/')}/{GENERATIONS_FOLDER}/{name}"

    def use(self, name: str) -> None:
        if self._in_bucket:
            with raising_index_errors(self._options.location):
                self._objects().write(CURRENT_FILE, name.encode())
            return
        path = Path(self._place) / CURRENT_FILE
        with replace_file(path, durable=True) as file:
            file.write(name.encode())

    def drop(self, name: str) -> None:
        lance = engine.import_lance()
        with engine.raising_index_errors(self.location(name)):
            lance.LanceDataset.drop(
                table_uri(self.location(name)),
                storage_options=storage_options(self._options) or None,
            )

    def _table(self, name: str) -> str:
        return f"{lance_place(self.location(name))}/{LANCE_TABLE}"

    def _exists(self, name: str) -> bool:
        if not self._in_bucket:
            return Path(self._table(name)).is_dir()
        below = self._table(name).removeprefix(self._place.rstrip("/") + "/")
        with raising_index_errors(self._options.location):
            return bool(self._objects().folders(f"{below}/"))

    def _objects(self) -> S3Prefix:
        return S3Prefix(self._place, store_options(self._options))


def _read(objects: S3Prefix) -> str:
    try:
        return objects.read(CURRENT_FILE).decode("utf-8")
    except ObjectGoneError as exc:
        raise FileNotFoundError(CURRENT_FILE) from exc
