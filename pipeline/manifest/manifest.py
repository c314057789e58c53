"""Keeps the manifest: append-only Parquet parts, compacted to the last attempt at each image."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest.added_objects import AddedObjects
from pipeline.manifest.image_keys import FinishedImages, KeySet
from pipeline.manifest.kept_pieces import KeptPieces
from pipeline.manifest.manifest_columns import filter_by_boxes, list_keys, list_versions
from pipeline.manifest.part_reading import Part, filter_parts, find_last_rows
from pipeline.manifest.part_storage import FolderParts, Parts
from pipeline.manifest.row_tables import to_rows, to_table
from pipeline.manifest.track_files import TrackFiles
from schemas.errors import ManifestError
from schemas.ids import image_id
from schemas.images import ImageRef
from schemas.listed_part import Shard
from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State

_BUFFERED_ROWS = 4096
_READ_ATTEMPTS = 5
_ADDED = "added"


class Manifest:
    """The manifest in a folder, or wherever its parts are.

    Several processes may append to it, compact it and read it at the same time. The last attempt at
    an image is the one with the latest `at`, then in the later part, then further down in it.
    Raises IndexUnavailableError if the folder cannot be used, ManifestError for a damaged part,
    and what `Parts` raise.
    """

    def __init__(self, place: Path | Parts) -> None:
        self._parts: Parts = FolderParts(place) if isinstance(place, Path) else place
        self._buffer: list[ManifestRow] = []

    @cached_property
    def added(self) -> AddedObjects:
        """The objects that were added by hand, which the rows do not count."""
        return AddedObjects(self._parts.below(_ADDED))

    @cached_property
    def tracks(self) -> TrackFiles:
        """The masks of objects of videos in every frame that was looked at."""
        return TrackFiles(self._parts)

    @cached_property
    def pieces(self) -> KeptPieces:
        """What has been done of videos that are not done."""
        return KeptPieces(self._parts)

    def exists(self) -> bool:
        """Whether anything was ingested under this manifest."""
        return self._parts.exists()

    def has_parts(self) -> bool:
        """Whether any row was ever written, without reading one."""
        return bool(self._parts.sizes())

    def append(self, rows: Sequence[ManifestRow]) -> None:
        """Add rows; they are on disk after `flush`, which is called when many are waiting."""
        self._buffer.extend(rows)
        if len(self._buffer) >= _BUFFERED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows as one part; durable on return."""
        if self._buffer:
            self._write([to_table(self._buffer)])
            self._buffer.clear()

    def latest(self) -> Iterator[ManifestRow]:
        """The last attempt at each image, streamed, in no particular order."""
        return (row for table in self.tables() for row in to_rows(table))

    def tables(
        self, columns: list[str] | None = None, shard: Shard | None = None
    ) -> Iterator[pa.Table]:
        """`latest` without an object a row: these columns of `MANIFEST_SCHEMA`, None for all.

        Of a `shard` only its images, with as much less memory.
        """
        with self._open_parts() as parts:
            yield from filter_parts(parts, find_last_rows(parts, shard), columns)

    def failures(self) -> Iterator[ManifestRow]:
        """The last attempts that did not end as done."""
        return (row for row in self.latest() if row.state is not State.DONE)

    def attempts(self) -> dict[tuple[str, str], int]:
        """How often images have failed in a row, by image id and version: those that still do."""
        attempts = {}
        for table in self.tables(["image_id", "version", "state", "attempts"]):
            failed = table.filter(pc.field("state") == State.FAILED.value)
            for row in failed.to_pylist():
                attempts[row["image_id"], row["version"]] = row["attempts"]
        return attempts

    def counts(self) -> dict[State, int]:
        """How many images are in each state; every state is there."""
        counter: Counter[str] = Counter()
        for table in self.tables(["state"]):
            for group in pc.value_counts(table["state"]).to_pylist():
                counter[group["values"]] += group["counts"]
        return {state: counter[state] for state in State}

    def fingerprints(self) -> set[str]:
        """The fingerprints of the pipelines that images were done by."""
        fingerprints: set[str] = set()
        for table in self.tables(["state", "fingerprint"]):
            done = table.filter(pc.field("state") == State.DONE.value)
            fingerprints.update(pc.unique(done["fingerprint"]).to_pylist())
        return fingerprints

    def finished_images(
        self,
        fingerprint: str,
        of_videos: str | None = None,
        *,
        is_video: Callable[[ImageRef], bool] = lambda ref: False,
        boxes: Mapping[str, str] | None = None,
        shard: Shard | None = None,
    ) -> FinishedImages:
        """The images whose last attempt is done or rejected under a fingerprint.

        With `of_videos` also what `is_video` now, and ended so under that one. `boxes`: the digests
        of those in force, by image id: what was done with others is not finished. None: whatever
        they are. Of a `shard` only its images.
        """
        return self._select_images(
            pc.field("fingerprint").isin([fingerprint, of_videos or fingerprint])
            & pc.field("state").isin([State.DONE.value, State.REJECTED.value]),
            boxes,
            of_videos,
            is_video,
            shard,
        )

    def tried_images(self) -> FinishedImages:
        """The images whose last attempt is anything but gone, under any pipeline."""
        return self._select_images(pc.field("state") != State.GONE.value)

    def _select_images(
        self,
        wanted: pc.Expression,
        boxes: Mapping[str, str] | None = None,
        of_videos: str | None = None,
        is_video: Callable[[ImageRef], bool] = lambda ref: False,
        shard: Shard | None = None,
    ) -> FinishedImages:
        columns = ["image_id", "version", "fingerprint", "state", "stamp", "boxes"]
        chosen = (table.filter(wanted) for table in self.tables(columns, shard))
        if boxes is not None:
            chosen = (filter_by_boxes(table, boxes) for table in chosen)
        parts = (
            (
                list_keys(table["image_id"]),
                list_versions(table, of_videos),
                table["stamp"].to_pylist(),
            )
            for table in chosen
        )
        return FinishedImages(parts, is_video)

    def boxes(self) -> dict[str, str]:
        """The digests of the boxes that images were segmented with, by image id, where any were."""
        found: dict[str, str] = {}
        for table in self.tables(["image_id", "boxes"]):
            table = table.filter(pc.field("boxes") != "")
            images, digests = table["image_id"].to_pylist(), table["boxes"].to_pylist()
            found.update(zip(images, digests, strict=True))
        return found

    def restamp(self, refs: Sequence[ImageRef]) -> None:
        """Record the stamps at which files were seen to have the content that is recorded.

        Rows keep their time, so that one which another process writes meanwhile stays the last.
        """
        seen = {str(image_id(ref)): ref for ref in refs}
        if not seen:
            return
        for row in self.rows_of(list(seen)):
            ref = seen[row.image_id]
            if row.version == ref.version:
                self.append([replace(row, stamp=ref.stamp)])

    def find_absent(
        self, present: KeySet, shard: Shard | None = None
    ) -> tuple[int, list[ManifestRow]]:
        """Of the images that are not gone: how many are `present`, and the rows of the others.

        Of a `shard` only its images.
        """
        count = 0
        absent: list[ManifestRow] = []
        for table in self.tables(shard=shard):
            table = table.filter(pc.field("state") != State.GONE.value)
            known = present.has(list_keys(table["image_id"]))
            count += int(known.sum())
            absent += to_rows(table.filter(pa.array(~known)))
        return count, absent

    def set_aside(self) -> None:
        """Keep all that is recorded under other names, so that it counts no longer."""
        self._parts.set_aside()
        self.added.set_aside()

    def drop(self) -> None:
        """Delete all that is recorded."""
        self._parts.remove(self._parts.sizes())
        self.added.drop()
        self.tracks.drop()
        self.pieces.drop()

    def rows_of(self, image_ids: Sequence[str]) -> list[ManifestRow]:
        """The last attempts at these images; an image without any has no row."""
        return self.select_rows(pc.field("image_id").isin(image_ids))

    def select_rows(self, wanted: pc.Expression) -> list[ManifestRow]:
        """The last attempts that meet a condition on the columns of `MANIFEST_SCHEMA`."""
        return [row for table in self.tables() for row in to_rows(table.filter(wanted))]

    def find_shared_uri(self, other: Manifest) -> str | None:
        """The uri of an image that is in another manifest too, None if there is none."""
        recorded = KeySet(list_keys(table["image_id"]) for table in self.tables(["image_id"]))
        for table in other.tables(["image_id", "uri"]):
            both = recorded.has(list_keys(table["image_id"]))
            if both.any():
                uri: str = table["uri"][int(both.argmax())].as_py()
                return uri
        return None

    def copy_to(self, other: Manifest) -> None:
        """Add the last attempt at each image to another manifest, and what was added by hand.

        The masks of videos as well.
        """
        # Records and masks first: a row says that its image is whole.
        self.added.copy_to(other.added)
        self.tracks.copy_to(other.tracks, self._list_videos())
        other._write(self.tables())

    def _list_videos(self) -> Iterator[str]:
        """The ids of the videos that are done."""
        for table in self.tables(["image_id", "shots"]):
            yield from table.filter(pc.field("shots") > 0)["image_id"].to_pylist()

    def compact(self) -> None:
        """Merge parts, and keep only the last of their attempts at each image.

        The latest parts are merged with the one before them if together they are at least half as
        large, so that each row is rewritten only a few times, however many there are. Neither a
        crash nor another process that compacts loses a row.
        """
        self.flush()
        sizes = self._parts.sizes()
        names = _worth_merging(sizes)
        try:
            with self._open_parts(names) as parts:
                last = find_last_rows(parts)
                if len(names) < 2 and last.all():
                    return
                # Readers allow for rows that are in two parts, until the old ones are removed.
                self._write(filter_parts(parts, last))
        except _PartGoneError:  # another process compacts
            return
        self._parts.remove(names)

    @contextmanager
    def _open_parts(self, names: Sequence[str] | None = None) -> Iterator[list[Part]]:
        """All parts, or those named, to be read to the end even if they are removed meanwhile."""
        with ExitStack() as stack:
            yield self._enter_parts(stack, names)

    def _enter_parts(self, stack: ExitStack, names: Sequence[str] | None) -> list[Part]:
        # Parts vanish while another process compacts; its new part is there by then.
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return [
                    self._enter_part(stack, name)
                    for name in (self._parts.sizes() if names is None else names)
                ]
            except _PartGoneError:
                if names is not None or attempt == _READ_ATTEMPTS:
                    raise
                stack.close()
        raise AssertionError("the last attempt returns or raises")

    def _enter_part(self, stack: ExitStack, name: str) -> Part:
        try:
            return Part(name, self._parts.place, stack.enter_context(self._parts.open(name)))
        except FileNotFoundError as exc:
            raise _PartGoneError(
                f"the manifest part {name} in {self._parts.place} is gone: another process "
                "compacts the manifest, try again"
            ) from exc

    def _write(self, tables: Iterable[pa.Table]) -> None:
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        with (
            self._parts.create(name) as file,
            pq.ParquetWriter(file, MANIFEST_SCHEMA, compression="zstd") as writer,
        ):
            for table in tables:
                writer.write_table(table)


def _worth_merging(sizes: Mapping[str, int]) -> list[str]:
    """The latest parts, back to the first that is more than twice as large as all later ones."""
    merged: list[str] = []
    together = 0
    for name, size in reversed(list(sizes.items())):
        if merged and size > 2 * together:
            break
        merged.append(name)
        together += size
    return merged[::-1]


class _PartGoneError(ManifestError):
    """A part was there when the folder was listed, and is no longer."""
