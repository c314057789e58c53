"""Keeps the masks that objects of videos have in every frame that was looked at."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
        self._parts = parts.below(_FOLDER, large=True)

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
        return self.read_many(image_id, revision_id, [ordinal])[ordinal]

    def read_many(
        self, image_id: str, revision_id: str, ordinals: Collection[int]
    ) -> dict[int, list[Sighting]]:
        """Likewise of several objects, by their ordinals; each part of the file is read once."""
        found: dict[int, list[Sighting]] = {ordinal: [] for ordinal in ordinals}
        for row in self._read(image_id, revision_id, ordinals):
            found[row["ordinal"]].append(_sighting_of(row))
        return found

    def read_all(self, image_id: str, revision_id: str) -> list[list[Sighting]]:
        """The masks of all objects of a revision of a video, by ordinal. Raises as `read`."""
        rows = self._read(image_id, revision_id)
        return [
            [_sighting_of(row) for row in group]
            for _, group in groupby(rows, key=itemgetter("ordinal"))
        ]

    def times(self, image_id: str, revision_id: str) -> list[float]:
        """Of all frames in which any object of a revision of a video is seen. Raises as `read`."""
        with self._open(image_id, revision_id) as file:
            groups = range(file.num_row_groups)
            columns = (file.read_row_group(group, ["time_s"])["time_s"] for group in groups)
            return sorted({time_s for column in columns for time_s in column.to_pylist()})

    def check(self, image_id: str, revision_id: str, objects: int) -> None:
        """Raise ManifestError unless every mask is sound and of one of so many objects.

        Raises NotIndexedError where none are kept of the revision.
        """
        with self._open(image_id, revision_id) as file:
            seen: set[int] = set()
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    mask_of(row)
                    seen.add(row["ordinal"])
            if seen != set(range(objects)):
                raise ValueError(f"those of {len(seen)} objects, expected {objects}")

    def copy_to(self, other: TrackFiles, image_ids: Iterable[str]) -> None:
        """Keep what is kept of these videos in another place as well."""
        for name in map(_name_file, image_ids):
            try:
                with self._parts.open(name) as file, other._parts.create(name) as copy:
                    shutil.copyfileobj(file, copy)
            except FileNotFoundError:  # an index is searched without them, too
                continue

    def drop(self) -> None:
        """Forget all videos."""
        if names := self._parts.sizes():
            self._parts.remove(names)

    def _read(
        self, image_id: str, revision_id: str, ordinals: Collection[int] | None = None
    ) -> list[dict[str, Any]]:
        with self._open(image_id, revision_id) as file:
            return _read_rows(file, ordinals)

    @contextmanager
    def _open(self, image_id: str, revision_id: str) -> Iterator[pq.ParquetFile]:
        """The file of a revision of a video; what is wrong with it is raised in the block."""
        name = _name_file(image_id)
        try:
            with self._parts.open(name) as stored:
                file = pq.ParquetFile(stored)
                if _revision_in(file) != revision_id:
                    raise NotIndexedError(
                        "expected the masks of the video as it is in the index, got those of "
                        f"another revision in {name}"
                    )
                yield file
        except FileNotFoundError as exc:
            raise NotIndexedError(f"expected the masks of a video in {name}, got none") from exc
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as exc:
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


def _read_rows(file: pq.ParquetFile, ordinals: Collection[int] | None) -> list[dict[str, Any]]:
    """The rows of some objects, None: of all."""
    rows: list[dict[str, Any]] = []
    for group in range(file.num_row_groups):
        spread = file.metadata.row_group(group).column(0).statistics
        if ordinals is None:
            rows += file.read_row_group(group).to_pylist()
        elif spread is None or any(spread.min <= each <= spread.max for each in ordinals):
            table = file.read_row_group(group)
            rows += table.filter(pc.field("ordinal").isin(list(ordinals))).to_pylist()
    return rows


def _revision_in(file: pq.ParquetFile) -> str:
    metadata = file.schema_arrow.metadata or {}
    return bytes(metadata.get(_REVISION, b"")).decode("ascii", "replace")


def _name_file(image_id: str) -> str:
    return f"part-{image_id}.parquet"
