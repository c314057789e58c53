"""Puts what is written of objects together by image, on disk."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline.formats.exported_object import ExportedImage
from schemas.errors import IndexUnavailableError

_ADD = "INSERT INTO entries VALUES (?, ?, ?, ?)"
_READ = "SELECT * FROM entries ORDER BY uri, generation, rowid"


class ImageTable:
    """Images and what is written of their objects, JSON each, in the order in which they came."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[ImageTable]:
        """An empty one, which goes when the block ends. Raises IndexUnavailableError."""
        with (
            tempfile.TemporaryDirectory(prefix="objseek-images-") as folder,
            closing(sqlite3.connect(Path(folder) / "entries")) as table,
        ):
            # It goes when this ends: nothing is to be saved from a crash.
            try:
                table.execute("PRAGMA journal_mode = OFF")
                table.execute("PRAGMA synchronous = OFF")
                table.execute("CREATE TABLE entries (uri, generation, image, entry)")
                yield cls(table)
            except sqlite3.OperationalError as exc:
                raise IndexUnavailableError(
                    f"expected room for temporary files in {Path(folder).parent}, got: {exc}"
                ) from exc

    def add(self, image: ExportedImage, entry: dict[str, Any] | None = None) -> None:
        """An image, with what is written of one of its objects, if of any."""
        text = None if entry is None else json.dumps(entry)
        described = json.dumps(asdict(image))
        self._table.execute(_ADD, (image.uri, image.generation, described, text))

    def images(self) -> Iterator[tuple[ExportedImage, Sequence[dict[str, Any]]]]:
        """Every image once, by uri, with what is written of its objects."""
        self._table.commit()
        for _, rows in groupby(self._table.execute(_READ), itemgetter(0, 1)):
            of_image = list(rows)
            described = json.loads(of_image[0][2])
            image = ExportedImage(**{**described, "size_hw": tuple(described["size_hw"])})
            yield image, [json.loads(entry) for *_, entry in of_image if entry is not None]
