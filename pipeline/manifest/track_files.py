"""Keeps the masks that objects of videos have in every frame that was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest.part_storage import Parts
from schemas.errors import ManifestError, NotIndexedError
from schemas.manifest import ManifestRow
from schemas.piece_table import MASK_FIELDS, mask_of, mask_row
from schemas.records import EmbeddedImage
from schemas.videos import Sighting, Track

_FOLDER = "videos"
_REVISION = b"objseek.revision"
_ROWS_AT_ONCE = 4096
"""Of a row group, at least: one is read whole to find the masks of an object in it."""
TRACK_SCHEMA = pa.schema([pa.field("ordinal", pa.int32(), nullable=False), *MASK_FIELDS])


class TrackFiles:
    """A file for each video below a manifest: rows by object and time (`TRACK_SCHEMA`)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts.below(_FOLDER)

    def write(self, video: EmbeddedImage, tracks: Sequence[Track], image_id: str) -> None:
        """Keep the tracks of a video's objects, in their order. Raises what `Parts` raise."""
        schema = TRACK_SCHEMA.with_metadata({_REVISION: video.revision.id.encode()})
        with (
            self._parts.create(_name_file(image_id)) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for rows in _gather_rows(tracks):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))

    def read(self, image_id: str, revision_id: str, ordinal: int) -> list[Sighting]:
        """The masks of one object of a revision of a video, by their times.

        Raises NotIndexedError where none are kept of it, ManifestError for a damaged file.
        """
        rows = self._read(image_id, revision_id, ordinal)
        return [_sighting_of(row) for row in rows]

    def read_all(self, image_id: str, revision_id: str) -> list[list[Sighting]]:
        """The masks of all objects of a revision of a video, by ordinal. Raises as `read`."""
        rows = self._read(image_id, revision_id)
        return [
            [_sighting_of(row) for row in group]
            for _, group in groupby(rows, key=itemgetter("ordinal"))
        ]

    def _read(
        self, image_id: str, revision_id: str, ordinal: int | None = None
    ) -> list[dict[str, Any]]:
        name = _name_file(image_id)
        try:
            with self._parts.open(name) as file:
                return _read_rows(pq.ParquetFile(file), revision_id, ordinal)
        except FileNotFoundError as exc:
            raise NotIndexedError(f"expected the masks of a video in {name}, got none") from exc
        except (OSError, ValueError, KeyError, pa.ArrowException) as exc:
            raise ManifestError(f"expected the masks of a video in {name}, got: {exc}") from exc

    def has(self, row: ManifestRow) -> bool:
        """Whether the masks of a video's objects are kept, of the revision that is recorded."""
        try:
            with self._parts.open(_name_file(row.image_id)) as file:
                return _revision_in(pq.ParquetFile(file)) == row.generation
        except (OSError, ValueError, pa.ArrowException):
            return False

    def remove(self, image_ids: Iterable[str]) -> None:
        """Forget these videos; it is no error if nothing is kept of some."""
        names = [_name_file(image_id) for image_id in image_ids]
        if names:
            self._parts.remove(names)

    def drop(self) -> None:
        """Forget all videos."""
        if names := self._parts.sizes():
            self._parts.remove(names)


def _gather_rows(tracks: Sequence[Track]) -> Iterator[list[dict[str, object]]]:
    """The rows of whole tracks, enough for a row group at a time."""
    rows: list[dict[str, object]] = []
    for ordinal, track in enumerate(tracks):
        rows += ({"ordinal": ordinal, **mask_row(each)} for each in track.sightings)
        if len(rows) >= _ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _sighting_of(row: dict[str, Any]) -> Sighting:
    try:
        return Sighting(row["time_s"], mask_of(row), 0.0)
    except ValueError as exc:
        raise ManifestError(f"expected the mask of an object in a video, got: {exc}") from exc


def _read_rows(file: pq.ParquetFile, revision_id: str, ordinal: int | None) -> list[dict[str, Any]]:
    """The rows of one object, None: of all."""
    if _revision_in(file) != revision_id:
        raise NotIndexedError(
            "expected the masks of the video as it is in the index, got those of another revision"
        )
    rows: list[dict[str, Any]] = []
    for group in range(file.num_row_groups):
        spread = file.metadata.row_group(group).column(0).statistics
        if ordinal is None:
            rows += file.read_row_group(group).to_pylist()
        elif spread is None or spread.min <= ordinal <= spread.max:
            table = file.read_row_group(group)
            rows += table.filter(pc.field("ordinal") == ordinal).to_pylist()
    return rows


def _revision_in(file: pq.ParquetFile) -> str:
    metadata = file.schema_arrow.metadata or {}
    return bytes(metadata.get(_REVISION, b"")).decode("ascii", "replace")


def _name_file(image_id: str) -> str:
    return f"part-{image_id}.parquet"
